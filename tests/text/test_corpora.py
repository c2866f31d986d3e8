"""Named corpora: where a file is found, what of it is verified."""

import dataclasses
import hashlib
from pathlib import Path

import pytest

from charlm.errors import UserError
from charlm.text import corpora
from charlm.text.corpora import (
    CORPORA,
    Corpus,
    CorpusUnavailable,
    data_directory,
    locate,
    read_corpus,
)

CONTENT = b"It was a bright cold day in April.\r\n" * 1000
SHA1 = hashlib.sha1(CONTENT).hexdigest()
OTHER = b"<html>Please log in.</html>"


def offer(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let the only corpus be ``small``, from this address."""
    small = Corpus(title="A test", file="small.txt", url=url, sha1=SHA1)
    monkeypatch.setattr(corpora, "CORPORA", {"small": small})


def nothing_in(*folders: Path) -> bool:
    return not any(path.is_file() for folder in folders for path in folder.rglob("*"))


# Found locally


def test_the_shared_corpora_are_what_their_descriptions_say(novel: str) -> None:
    assert len(novel) == 178_979
    assert novel.startswith("The Time Machine, by H. G. Wells [1898]\n")


@pytest.mark.parametrize(
    ("name", "length", "start"),
    [
        ("war-of-the-worlds", 337_431, "cover \n\n\n\n\nThe War of the Worlds\n"),
        ("tiny-shakespeare", 1_115_394, "First Citizen:\nBefore we proceed"),
    ],
)
def test_the_other_corpora(name: str, length: int, start: str) -> None:
    try:
        text = read_corpus(name)
    except CorpusUnavailable as unavailable:
        pytest.skip(str(unavailable))
    assert len(text) == length
    assert text.startswith(start)
    assert "PROJECT GUTENBERG" not in text


def test_pythons_manual_needs_no_file(home: Path) -> None:
    text = read_corpus("python-docs")
    assert len(text) > 300_000
    assert text.startswith('The "assert" statement\n')
    assert nothing_in(home)
    with pytest.raises(UserError, match="not a file"):
        locate("python-docs")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="Unknown corpus 'time machine'") as caught:
        read_corpus("time machine")
    assert all(name in str(caught.value) for name in CORPORA)


def test_the_named_folder_comes_before_the_cache(
    home: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, "http://127.0.0.1:9/never-asked")
    named = tmp_path / "named"
    assert data_directory() == cache
    monkeypatch.setenv("CHARLM_DATA", str(named))
    assert data_directory() == named
    for folder in (cache, named):
        folder.mkdir(parents=True)
        (folder / "small.txt").write_bytes(CONTENT)
        assert locate("small") == folder / "small.txt"


def test_a_local_file_of_other_content_is_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, "http://127.0.0.1:9/never-asked")
    cache.mkdir(parents=True)
    (cache / "small.txt").write_bytes(OTHER)
    with pytest.raises(UserError) as caught:
        locate("small")
    message = str(caught.value)
    assert str(cache / "small.txt") in message
    assert SHA1 in message
    assert hashlib.sha1(OTHER).hexdigest() in message
    assert (cache / "small.txt").read_bytes() == OTHER  # the user's: not for us to remove


# Project Gutenberg's files

PASSAGE = "‘But who shall dwell in these worlds?’\n\nNo one would have believed …\n"
GUTENBERG = (
    "\ufeffThe Project Gutenberg eBook of Something\n\n{header}\n"
    "*** START OF THE PROJECT GUTENBERG EBOOK SOMETHING ***\n\n\n"
    "{passage}\n\n"
    "    *** END OF THE PROJECT GUTENBERG EBOOK SOMETHING ***\n\nThe licence: {licence}\n"
)


@pytest.fixture
def gutenberg(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    description = dataclasses.replace(
        CORPORA["war-of-the-worlds"],
        file="book.txt",
        sha1=hashlib.sha1(PASSAGE.encode()).hexdigest(),
    )
    monkeypatch.setattr(corpora, "CORPORA", {"book": description})
    cache.mkdir(parents=True)
    return cache / "book.txt"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("header", ["Updated: 2021", "Updated: 2031\nCredits: somebody else"])
def test_a_reissued_header_is_not_another_text(gutenberg: Path, header: str, line_end: str) -> None:
    file = GUTENBERG.format(header=header, passage=PASSAGE, licence=header)
    gutenberg.write_bytes(file.replace("\n", line_end).encode())
    assert read_corpus("book") == PASSAGE


@pytest.mark.parametrize(
    "file",
    [
        GUTENBERG.format(header="", passage=PASSAGE.replace("But", "and"), licence=""),
        GUTENBERG.format(header="", passage=PASSAGE, licence="").replace("*** END", "END"),
        PASSAGE,
    ],
    ids=["another text", "no end", "no marks"],
)
def test_another_passage_is_refused(gutenberg: Path, file: str) -> None:
    gutenberg.write_text(file, encoding="utf-8")
    with pytest.raises(UserError, match="is not the corpus book: its SHA-1 is"):
        read_corpus("book")
