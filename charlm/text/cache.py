"""Encoded texts on disk: one file each, bounded in all, the least recently used removed first.

A file begins with one line of JSON (the header), then come the ids, little-endian. Whoever reads one
holds a shared lock on it, by which the others know that it is in use.
"""

import contextlib
import json
import mmap
import os
import re
import time
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from charlm.errors import UserError
from charlm.text.losses import Losses
from charlm.text.vocabulary import Vocabulary

try:
    import fcntl
except ImportError:  # Windows, where a file that is mapped can't be removed anyway
    fcntl = None  # type: ignore[assignment]

PATTERN = "encoded-*.ids"
MAX_HEADER_BYTES = 2**25
# The bound on all files together: this environment variable's, such as 500M, 20G, or 0.
SIZE_VARIABLE = "CHARLM_CACHE_SIZE"
DEFAULT_SIZE = "4G"
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Header(NamedTuple):
    """What stands before the ids.

    Args:
        num_characters: how many ids there are.
        digest: see ``charlm.text.encoded.EncodedText``, as
        losses, unknown, and
        vocabulary, by which they were encoded.
    """

    num_characters: int
    digest: str
    losses: Losses
    unknown: Losses
    vocabulary: Vocabulary

    def line(self) -> bytes:
        """As it is written: padded, so that the ids begin at a multiple of 64 bytes."""
        entries = self._asdict() | {"vocabulary": self.vocabulary.config}
        header = json.dumps(entries).encode()
        return header.ljust((len(header) // 64 + 1) * 64 - 1) + b"\n"


class Mapped(NamedTuple):
    """A file of ids that is mapped: its header, where the ids begin, and the mapping itself."""

    header: Header
    offset: int
    mapping: mmap.mmap


def open_mapped(cached: Path) -> Mapped | None:
    """Map a file of ids, which counts as used now, and as in use while the mapping lives.

    Returns:
        None if there is no such file, or it is damaged.
    """
    try:
        with open(cached, "rb") as file:
            _lock(file, exclusively=False)
            found = read_header(file)
            # Removed between its opening and its lock.
            if found is None or not os.fstat(file.fileno()).st_nlink:
                return None
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with contextlib.suppress(OSError):
            os.utime(cached, ns=(time.time_ns(), cached.stat().st_mtime_ns))
    except FileNotFoundError:
        return None
    return Mapped(*found, mapping)


def read_header(file: BinaryIO) -> tuple[Header, int] | None:
    """The header of an open file and its length; none if it is damaged."""
    try:
        line = file.readline(MAX_HEADER_BYTES)
        num_bytes = os.fstat(file.fileno()).st_size - len(line)
        entries: dict[str, Any] = json.loads(line)
        header = Header(
            entries["num_characters"],
            entries["digest"],
            Losses(*entries["losses"]),
            Losses(*entries["unknown"]),
            Vocabulary.from_config(entries["vocabulary"]),
        )
        whole = num_bytes == header.num_characters * header.vocabulary.dtype.itemsize
    except (ValueError, TypeError, KeyError):
        return None
    return (header, len(line)) if whole else None


def bound() -> int:
    """How many bytes all encoded texts may take together.

    Raises:
        UserError: the environment variable holds no size.
    """
    given = os.environ.get(SIZE_VARIABLE, DEFAULT_SIZE)
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", given.strip(), re.IGNORECASE)
    if not found:
        raise UserError(
            f"{SIZE_VARIABLE} is {given!r}, which is no size: write a number with K, M, G or T, such "
            "as 500M."
        )
    return int(float(found[1]) * UNITS[found[2].upper()])


def make_room(directory: Path, kept: Path) -> None:
    """Remove the least recently used texts until the bound holds; never one in use, or ``kept``.

    Raises:
        UserError: see ``bound``.
    """
    allowed = bound()
    used = []
    for path in directory.glob(PATTERN):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            used.append((status.st_atime_ns, status.st_size, path))
    total = sum(size for _, size, _ in used)
    for _, size, path in sorted(used):
        if total <= allowed:
            return
        if path != kept and _remove_unused(path):
            total -= size


def remove_abandoned(cached: Path) -> None:
    """Remove what processes that were killed have left unfinished, a day ago or more."""
    for path in cached.parent.glob(f".{PATTERN}.*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - 24 * 60 * 60:
                path.unlink()


def _remove_unused(path: Path) -> bool:
    """Remove a file unless somebody holds a lock on it; whether it is gone."""
    try:
        with open(path, "rb") as file:
            if not _lock(file, exclusively=True):
                return False
            if fcntl is not None:
                path.unlink()
        if fcntl is None:
            path.unlink()  # Windows: not while it is open here, and it refuses where it is mapped
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def _lock(file: BinaryIO, exclusively: bool) -> bool:
    """Lock an open file without waiting; whether it could be done.

    The lock ends when the last of its file's descriptors is closed; a mapping has one of its own.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusively else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
