"""Local files: a text decoded in pieces; a file written whole or not at all."""

import codecs
import contextlib
import io
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from charlm.errors import UserError

# Where the data module's user names a file's encoding.
DATA_OPTION = "--data.encoding"


def read_text(
    path: str | os.PathLike[str], encoding: str = "utf-8", option: str = DATA_OPTION
) -> str:
    """The text of a file, without byte order mark, newlines as "\\n".

    Raises:
        UserError: as ``iterate_text``.
    """
    return "".join(iterate_text(path, encoding, option=option))


def iterate_text(
    path: str | os.PathLike[str],
    encoding: str = "utf-8",
    chunk_bytes: int = 2**20,
    option: str = DATA_OPTION,
) -> Iterator[str]:
    """The text of a file in pieces, read ``chunk_bytes`` at a time.

    Args: see ``decode_stream``.

    Raises:
        UserError: the file can't be read, and as ``decode_stream``.
    """
    with open_binary(path) as file:
        yield from decode_stream(file, os.fspath(path), encoding, chunk_bytes, option)


def decode_stream(
    file: BinaryIO,
    name: str,
    encoding: str = "utf-8",
    chunk_bytes: int = 2**20,
    option: str = DATA_OPTION,
) -> Iterator[str]:
    """The text of an open file in pieces, read ``chunk_bytes`` at a time.

    A byte order mark is dropped, CRLF and CR become LF as in Python's own text files; every
    other character is kept, NUL too.

    Args:
        name: of the file, and
        option: the one that names the encoding, for the messages.

    Raises:
        UserError: the file is empty, the encoding is unknown, or the file's bytes are not of
            this encoding, or can't be meant as such.
    """
    try:
        "".encode(encoding)  # refuses what is no text encoding, too
        decode = codecs.getincrementaldecoder(encoding)()
    except (LookupError, ValueError) as error:
        raise UserError(
            f"Unknown encoding {encoding!r}: {option} takes one that Python knows, such as "
            "utf-8, latin-1 or utf-16."
        ) from error
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    at_start = True
    num_bytes = 0
    is_empty = True
    while True:
        chunk = file.read(chunk_bytes)
        try:
            decoded = decode.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            # The decoder keeps the beginning of a character that a chunk cuts in two.
            offset = num_bytes + len(chunk) - len(error.object) + error.start
            raise UserError(
                f"{name} is not {encoding}: byte 0x{error.object[error.start]:02x} at offset "
                f"{offset:,} doesn't decode; name the file's encoding with {option}."
            ) from error
        except UnicodeError as error:  # of UTF-16 and UTF-32, where no mark says in which order
            raise UserError(
                f"{name} is not {encoding}: {error}; name the file's encoding with {option}, such as "
                "utf-16-le."
            ) from error
        num_bytes += len(chunk)
        if at_start and decoded:
            decoded, at_start = decoded.removeprefix("\ufeff"), False
        text = newlines.decode(decoded, final=not chunk)
        if text:
            if is_empty and has_too_many_nuls(text):
                raise UserError(
                    f"{name} is not {encoding}: more than a quarter of its first characters are NUL, as "
                    f"of a file in UTF-16; name the file's encoding with {option}."
                )
            is_empty = False
            yield text
        if not chunk:
            break
    if is_empty:
        raise UserError(f"{name} is empty: give a file with text in it.")


def has_too_many_nuls(text: str) -> bool:
    """Whether a text is probably UTF-16 without a byte order mark, read as UTF-8 or Latin-1."""
    return len(text) >= 64 and text.count("\0") > len(text) // 4


def open_binary(path: str | os.PathLike[str]) -> io.BufferedReader:
    """``open(path, "rb")``.

    Raises:
        UserError: it can't be read.
    """
    try:
        return open(path, "rb")
    except IsADirectoryError as error:
        raise UserError(f"{path} is a directory: give a text file.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"Can't read {path}: {reason}.") from error


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The whole of a file.

    Raises:
        UserError: it can't be read.
    """
    with open_binary(path) as file:
        return file.read()


def replace(source: Path, target: Path) -> None:
    """``os.replace``, with patience: Windows refuses while anyone has the target open."""
    for seconds in (0.01, 0.03, 0.1, 0.3, 1.0):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if target.is_dir() or not os.access(target.parent, os.W_OK):
                raise
            time.sleep(seconds)
    os.replace(source, target)


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """A file to write that appears as ``path`` when the block ends, whole; nothing stays behind
    when the block fails.

    Raises:
        UserError: it can't be written (no space, no permission).
    """
    if not path.name or path.is_dir():
        raise UserError(f"Can't write {path}: it is a folder; name a file.")
    # Its own name for each writer; made by open(), for the permissions that the user's umask says.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            yield file
            # On the disk before it takes the place of what was there.
            file.flush()
            os.fsync(file.fileno())
        replace(temporary, path)
    except OSError as error:
        raise UserError(f"Can't write {path}: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
