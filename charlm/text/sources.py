"""What ``--data.path`` names: files, a folder, a glob, an archive, standard input; in which order.

Files stand in the order in which they are named; those of a folder (with its subfolders), of a glob
or of a zip archive in the order of their paths, by code points. Between two of them stands a newline,
where the first doesn't end with one. Left out of a folder is what begins with a dot, and the logs
and checkpoints of runs that were started there.
"""

import bz2
import glob
import gzip
import hashlib
import io
import lzma
import os
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from charlm.errors import UserError
from charlm.text.files import DATA_OPTION, decode_stream, open_binary

STANDARD_INPUT = "-"
# By the bytes that a file of the kind begins with, whatever it is called.
COMPRESSED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
ZIP = b"PK\x03\x04"
REFUSED = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "LZ4",
    b"\x1f\x9d": "compress",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"%PDF-": "PDF",
}
# A zip archive with one of these is another program's document.
OF_DOCUMENTS = ("[Content_Types].xml", "mimetype")
TAR_MAGIC, TAR_PLACE = b"ustar", 257
# What runs write into the folder that they are started in.
OF_RUNS = "lightning_logs"
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Source:
    """The text that paths name, file by file.

    Args:
        paths: one, or several in their order.

    Raises:
        UserError: there is no such file, or none in the folder or for the glob; standard input is
            named twice.
    """

    def __init__(self, paths: Paths) -> None:
        several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        if not several:
            raise UserError("The list of files is empty: name at least one with --data.path.")
        if several.count(STANDARD_INPUT) > 1:
            raise UserError("Standard input (-) can be read only once: name it once.")
        self.name = ", ".join(os.fspath(path) for path in several)
        self.files = [file for path in several for file in _expanded(os.fspath(path))]

    @property
    def can_be_read_again(self) -> bool:
        """Whether all are regular files: standard input and pipes can be read only once."""
        return all(os.path.isfile(file) for file in self.files)

    @property
    def num_bytes(self) -> int:
        """Of all files, as they are (compressed ones so)."""
        return sum(os.path.getsize(file) for file in self.files)

    def version(self) -> list[tuple[int, ...]]:
        """What changes when a file is written to."""
        statuses = [os.stat(file) for file in self.files]
        return [(status.st_ino, status.st_size, status.st_mtime_ns) for status in statuses]

    def digests(self) -> list[str]:
        """SHA-256 (hexadecimal) of each file's bytes."""
        digests = []
        for name in self.files:
            with open_binary(name) as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        return digests

    def texts(
        self, encoding: str = "utf-8", chunk_bytes: int = 2**20, option: str = DATA_OPTION
    ) -> Iterator[Iterator[str]]:
        """The text of each file in pieces; see ``charlm.text.files.decode_stream``.

        Empty files are left out, unless nothing is left then.

        Raises:
            UserError: a file can't be read, is damaged or of a kind that holds no plain text; its
                bytes aren't of the encoding; or all are empty.
        """
        is_empty = True
        for path in self.files:
            for name, file in _opened(path):
                if file.peek(1):
                    is_empty = False
                    yield _decoded(file, name, encoding, chunk_bytes, option)
        if is_empty:
            name = "Standard input" if self.name == STANDARD_INPUT else self.name
            raise UserError(f"{name} is empty: give a file with text in it.")


def joined(texts: Iterable[Iterable[str]]) -> Iterator[str]:
    """The texts one after the other, a newline between two where the first ends without one."""
    last = "\n"
    for text in texts:
        if last != "\n":
            yield "\n"
        for piece in filter(None, text):
            yield piece
            last = piece[-1]


def absolute(paths: Any) -> Any:
    """The paths as they will be found from any folder; standard input and none as they are.

    Raises:
        UserError: one is empty, is an address on the network, or has a name that isn't UTF-8.
    """
    if paths is None or paths == STANDARD_INPUT:
        return paths
    if not isinstance(paths, str | os.PathLike):
        return [absolute(path) for path in paths]
    if not os.fspath(paths):
        raise UserError("data.path is empty: name a file or a folder, or leave it out.")
    if "://" in os.fspath(paths):
        raise UserError(f"{paths} is an address: download what is there, and name the file.")
    return in_unicode(os.path.abspath(os.path.expanduser(paths)))


def in_unicode(path: str) -> str:
    """A path that can be written down in logs and configurations.

    Raises:
        UserError: bytes of its name are no UTF-8.
    """
    try:
        path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"The name {path!r} isn't UTF-8: rename that file or folder.") from error
    return path


def _expanded(path: str) -> list[str]:
    path = os.path.expanduser(path)
    if path == STANDARD_INPUT or os.path.isfile(path):
        return [path]
    if os.path.isdir(path):
        root = Path(path)
        found = [
            file
            for file in root.rglob("*")
            if file.is_file() and not any(map(_is_left_out, file.relative_to(root).parts))
        ]
        if not found:
            raise UserError(f"There is no file in the folder {path}: name one that has texts.")
        return sorted(map(str, found))
    if glob.has_magic(path) and not os.path.lexists(path):
        matching = sorted(file for file in glob.glob(path, recursive=True) if os.path.isfile(file))
        if not matching:
            raise UserError(f"No file matches {path}: name files that exist with --data.path.")
        return matching
    return [path]  # whoever opens it tells what is wrong


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name == OF_RUNS


def _opened(path: str) -> Iterator[tuple[str, io.BufferedReader]]:
    """The uncompressed bytes of a file, or of each file in an archive, with a name for each."""
    if path == STANDARD_INPUT:
        if sys.stdin is None:
            raise UserError("There is no standard input to read: name a file.")
        if sys.stdin.isatty():
            print("Type a text; end it with Ctrl-D (on Windows Ctrl-Z).", file=sys.stderr)
        reader: Any = io.BufferedReader(sys.stdin.buffer)
        try:
            yield from _uncompressed(reader, "standard input")
        finally:
            reader.detach()  # else it would be closed with its reader
        return
    with open_binary(path) as file:
        yield from _uncompressed(file, path)


def _uncompressed(file: io.BufferedReader, name: str) -> Iterator[tuple[str, io.BufferedReader]]:
    try:
        start = file.peek(TAR_PLACE + len(TAR_MAGIC))
    except DAMAGED as error:
        raise _damaged(name, error) from error
    for magic, kind in REFUSED.items():
        if start.startswith(magic):
            raise UserError(
                f"{name} is a {kind} file, not text: convert it to plain text, or unpack it, first."
            )
    if start[TAR_PLACE:].startswith(TAR_MAGIC):
        raise UserError(f"{name} is a tar archive: unpack it, and name the folder.")
    if start.startswith(ZIP):
        yield from _members(file, name)
        return
    for magic, opener in COMPRESSED.items():
        if start.startswith(magic):
            with opener(file) as inner:
                yield from _uncompressed(io.BufferedReader(inner), name)
            return
    yield name, file


def _members(file: BinaryIO, name: str) -> Iterator[tuple[str, io.BufferedReader]]:
    if not file.seekable():
        file = io.BytesIO(file.read())
    try:
        with zipfile.ZipFile(file) as archive:
            members = sorted(archive.namelist())
            if not set(OF_DOCUMENTS).isdisjoint(members):
                raise UserError(f"{name} is a document or an e-book: save it as plain text first.")
            for member in members:
                if member.endswith("/") or any(p.startswith(".") for p in member.split("/")):
                    continue
                with archive.open(member) as inner:
                    yield from _uncompressed(io.BufferedReader(inner), f"{name}/{member}")  # type: ignore[arg-type]
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise _damaged(name, error) from error


def _decoded(
    file: io.BufferedReader, name: str, encoding: str, chunk_bytes: int, option: str
) -> Iterator[str]:
    try:
        yield from decode_stream(file, name, encoding, chunk_bytes, option)
    except UserError:
        raise
    except DAMAGED as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> UserError:
    return UserError(
        f"{name} can't be read ({str(error) or type(error).__name__}): it is damaged, or its "
        "archive is locked by a password; unpack it, and name the text."
    )
