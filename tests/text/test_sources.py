"""What --data.path can name: the order in which files are read, archives by their bytes."""

import bz2
import gzip
import io
import lzma
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charlm.errors import UserError
from charlm.text import encoding
from charlm.text.encoding import encode_corpus
from charlm.text.sources import Source, absolute, joined
from charlm.training.logger import LOG_FOLDER


def read(path: object, encoding: str = "utf-8") -> str:
    return "".join(joined(Source(path).texts(encoding)))  # type: ignore[arg-type]


def zipped(content: bytes, *names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda content: zipped(content, "text.txt"),
    "gz of gz": lambda content: gzip.compress(gzip.compress(content)),
}


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_a_compressed_file_is_known_by_its_bytes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "named-like-a-text.txt"
    path.write_bytes(COMPRESSIONS[kind]("naïve\n".encode("latin-1") * 100))
    assert read(path, "latin-1") == "naïve\n" * 100
    with pytest.raises(UserError, match=r"not utf-8: byte 0xef at offset 2 "):
        read(path)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip"])
def test_a_damaged_archive_is_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "text"
    content = COMPRESSIONS[kind](bytes(range(32, 127)) * 200)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"can't be read .*damaged"):
        read(path, "latin-1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x28\xb5\x2f\xfd" + bytes(99), "is a zstd file"),
        (b"%PDF-1.7" + bytes(99), "is a PDF file"),
        (bytes(257) + b"ustar" + bytes(99), "is a tar archive"),
        (zipped(b"<xml>", "[Content_Types].xml"), "is a document or an e-book"),
    ],
)
def test_what_is_no_text_is_never_trained_on(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "text.txt").write_bytes(content)
    for encoding_ in ("utf-8", "latin-1"):
        with pytest.raises(UserError, match=message):
            read(tmp_path / "text.txt", encoding_)


def test_files_of_a_folder_stand_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name, text in (("b.txt", "b"), ("a/z.txt", "z\n"), ("a/.hidden", "no"), ("é", "é")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "empty").touch()
    (tmp_path / "c.zip").write_bytes(zipped(b"c", "2", "1", ".3"))
    assert read(tmp_path) == "z\nb\nc\nc\né"
    assert read(tmp_path / "*.txt") == "b"
    assert read(tmp_path / "**" / "*.txt") == "z\nb"
    assert read([tmp_path / "é", tmp_path / "b.txt"]) == "é\nb"


def test_runs_that_were_started_in_the_folder_are_no_text(tmp_path: Path) -> None:
    for name in ("a.txt", "poems/b.txt", f"{LOG_FOLDER}/version_0/metrics.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert read(tmp_path) == "a.txt\npoems/b.txt"


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for content in ("from a pipe é".encode(), gzip.compress("from a pipe é".encode())):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        text = encode_corpus(path="-")
        assert text.vocabulary.decode(text.ids) == "from a pipe é"
        # It isn't closed, as a notebook may read it again: to find nothing more.
        with pytest.raises(UserError, match="Standard input is empty"):
            encode_corpus(path="-")


@pytest.mark.parametrize("kind", ["gz", "zip"])
def test_what_is_large_once_unpacked_is_mapped(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "text"
    path.write_bytes(COMPRESSIONS[kind](b"abc\n" * 5000))
    in_memory = encode_corpus(path=path)
    monkeypatch.setattr(encoding, "LARGE_FILE_BYTES", 4000)
    mapped = encode_corpus(path=path)
    assert in_memory.mapping is None
    assert mapped.mapping is not None
    assert mapped.digest == in_memory.digest


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (["-", "-"], "can be read only once"),
        ("", "data.path is empty"),
        (["text.txt", ""], "data.path is empty"),
        ("https://example.com/text.txt", "is an address: download"),
        (os.fsdecode(b"caf\xe9.txt"), "isn't UTF-8: rename"),
    ],
)
def test_what_could_not_be_read_or_found_again_is_told(path: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        Source(absolute(path))


def test_without_a_standard_input_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UserError, match="There is no standard input"):
        read("-")
