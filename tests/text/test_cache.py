"""The bound on encoded texts: the least recently used go first, and never one in use."""

import os
from pathlib import Path

import pytest

from charlm.errors import UserError
from charlm.text import encoding
from charlm.text.cache import bound
from charlm.text.encoding import encode_corpus

KIB = 2**10


@pytest.fixture(autouse=True)
def small(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "LARGE_FILE_BYTES", 1)
    monkeypatch.setenv("CHARLM_CACHE_SIZE", "100K")


def encoded(folder: Path, letter: str) -> Path:
    """A text of 30 KiB, encoded and let go of; its file in the cache."""
    (folder / letter).write_text(letter * 30 * KIB, encoding="utf-8")
    cached = encode_corpus(path=folder / letter).cached
    assert cached is not None
    return cached


def test_the_least_recently_used_are_removed(tmp_path: Path, cache: Path) -> None:
    files = {letter: encoded(tmp_path, letter) for letter in "abc"}
    for age, letter in enumerate("abc"):
        os.utime(files[letter], (1000 + age, 1000))
    assert encoded(tmp_path, "a") == files["a"]  # used again, b is now the oldest
    files["d"] = encoded(tmp_path, "d")
    assert set(cache.glob("*.ids")) == {files[letter] for letter in "acd"}


def test_a_text_in_use_is_kept(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "used").write_text("u" * 30 * KIB, encoding="utf-8")
    used = encode_corpus(path=tmp_path / "used")
    assert used.cached is not None
    os.utime(used.cached, (1, 1))
    for letter in "abcd":
        encoded(tmp_path, letter)
    assert used.cached.exists()
    assert len(list(cache.glob("*.ids"))) == 3
    del used
    encoded(tmp_path, "e")
    assert sum(path.stat().st_size for path in cache.glob("*.ids")) <= 100 * KIB


@pytest.mark.parametrize(
    ("given", "num_bytes"), [("0", 0), ("1.5K", 1536), ("2 GB", 2**31), ("3MiB", 3 * 2**20)]
)
def test_sizes(monkeypatch: pytest.MonkeyPatch, given: str, num_bytes: int) -> None:
    monkeypatch.setenv("CHARLM_CACHE_SIZE", given)
    assert bound() == num_bytes


def test_what_is_no_size_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLM_CACHE_SIZE", "much")
    with pytest.raises(UserError, match="CHARLM_CACHE_SIZE is 'much'"):
        encoded(tmp_path, "a")
