"""A text as an array of ids, memory-mapped where it is large.

A large file is encoded once, one piece in memory at a time, into ``~/.cache/charlm``; what a
later run reads is that file, and of it only what the training touches. It begins with one line of
JSON (the header), then come the ids, little-endian.
"""

import contextlib
import hashlib
import json
import mmap
import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from charlm.errors import UserError
from charlm.text.corpora import cache_directory, data_directory, read_corpus, writable_directory
from charlm.text.files import atomic_writer, iterate_text, open_binary, read_text
from charlm.text.losses import LossCounter, Losses
from charlm.text.normalisation import check_normalisation, normalise_pieces
from charlm.text.vocabulary import Vocabulary, code_points

# A file from this size on is mapped; below, its text and ids are held in memory.
LARGE_FILE_BYTES = 32 * 2**20
# Small enough for the processor's cache, large enough that a piece costs more than its call.
PIECE_BYTES = 2**18
# Part of the cached file's name: another layout or meaning is another file.
FORMAT = 2
MAX_HEADER_BYTES = 2**25


@dataclass(frozen=True, eq=False)
class EncodedText:
    """N characters as ids.

    Args:
        name: the corpus's name, or the path of the file.
        ids: [N], read-only, of ``vocabulary.dtype``.
        vocabulary: of the whole normalised text, whether or not the ids are cut short.
        digest: SHA-256 (hexadecimal) of the vocabulary (normalisation, characters and their
            order) and of the N ids: equal exactly if the same characters are encoded in the same
            way. Text that ``max_chars`` cuts off doesn't count, but for the vocabulary.
        losses: what the normalisation has left out of the whole text.
        cached: the file that is mapped, if the text is.
        mapping: its mapping.
    """

    name: str
    ids: np.ndarray
    vocabulary: Vocabulary
    digest: str
    losses: Losses
    cached: Path | None = None
    mapping: mmap.mmap | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.ids.flags.writeable = False

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapped text goes to another process by name, not by content.
        if self.cached is not None:
            return _map, (self.name, self.cached, len(self.ids))
        return EncodedText, (self.name, self.ids, self.vocabulary, self.digest, self.losses)

    def release(self) -> None:
        """Let go of the memory of a mapped text that was read; ``ids`` stay valid.

        The system keeps such pages as long as it has room, and counts them as the process's own.
        A text in memory, or a system that can't be told, is left as it is.
        """
        if self.mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.mapping.madvise(mmap.MADV_DONTNEED)


def encode_corpus(
    corpus: str | None = None,
    path: str | os.PathLike[str] | None = None,
    normalisation: str = "none",
    max_chars: int | None = None,
    encoding: str = "utf-8",
) -> EncodedText:
    """Read, normalise and encode a named corpus or a file.

    Args:
        corpus: name of a corpus (``charlm.text.corpora.CORPORA``).
        path: a file instead; one of ``LARGE_FILE_BYTES`` or more is mapped.
        normalisation: see ``charlm.text.normalisation.normalise``.
        max_chars: encode only so many characters of the normalised text, as the book does
            (``max_tokens``); its vocabulary is that of the whole text.
        encoding: of the file at ``path``.

    Raises:
        UserError: not exactly one of ``corpus`` and ``path`` is given; the text can't be had
            (``charlm.text.corpora.CorpusUnavailable`` if that is for want of a network); nothing is
            left of it after normalisation; or a large file changes while it is being read, or
            its ids can't be kept.
    """
    if (corpus is None) == (path is None):
        raise UserError("Give either a corpus (--data.corpus) or a file (--data.path).")
    if max_chars is not None and max_chars < 1:
        raise UserError(f"max_chars is {max_chars}: it must be at least 1, or null for all.")
    check_normalisation(normalisation)
    if corpus is not None:
        return _encode_in_memory(corpus, [read_corpus(corpus)], normalisation, max_chars)
    assert path is not None
    name = os.fspath(path)
    # What is no regular file (a pipe) can be read only once.
    if not os.path.isfile(name):
        return _encode_in_memory(name, [read_text(name, encoding)], normalisation, max_chars)
    if os.path.getsize(name) < LARGE_FILE_BYTES:
        pieces = list(iterate_text(name, encoding, PIECE_BYTES))
        return _encode_in_memory(name, pieces, normalisation, max_chars)
    before = os.stat(name)
    cached = _cached_path(name, normalisation, encoding)
    if _read_header(cached) is None:
        _encode_to_file(cached, name, before, normalisation, encoding)
    return _map(name, cached, max_chars)


def _encode_in_memory(
    name: str, pieces: list[str], normalisation: str, max_chars: int | None
) -> EncodedText:
    vocabulary, num_characters, losses = _count(name, pieces, normalisation)
    ids = np.empty(min(num_characters, max_chars or num_characters), dtype=vocabulary.dtype)
    filled = 0
    for part in _encode(vocabulary, pieces):
        part = part[: len(ids) - filled]
        ids[filled : filled + len(part)] = part
        filled += len(part)
        if filled == len(ids):
            break
    digest = _start_digest(vocabulary)
    digest.update(_little_endian(ids))
    return EncodedText(name, ids, vocabulary, digest.hexdigest(), losses)


def _count(name: str, pieces: Iterable[str], normalisation: str) -> tuple[Vocabulary, int, Losses]:
    """The vocabulary of a text, its length when normalised, and what that leaves out."""
    counts = np.zeros(sys.maxunicode + 1, dtype=np.int64)
    counter = LossCounter(normalisation)
    for piece in normalise_pieces(counter.watch(pieces), normalisation):
        counts_of_piece = np.bincount(code_points(piece))
        counts[: len(counts_of_piece)] += counts_of_piece
    num_characters = int(counts.sum())
    if num_characters == 0:
        raise UserError(
            f"Nothing is left of {name} after the normalisation {normalisation!r}: try 'none'."
        )
    found = {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}
    return Vocabulary.from_counts(found, normalisation), num_characters, counter.losses()


def _encode(vocabulary: Vocabulary, pieces: Iterable[str]) -> Iterator[np.ndarray]:
    return map(vocabulary.encode, normalise_pieces(pieces, vocabulary.normalisation))


def _start_digest(vocabulary: Vocabulary) -> Any:
    return hashlib.sha256(json.dumps(vocabulary.config, sort_keys=True).encode())


def _little_endian(ids: np.ndarray) -> memoryview:
    return ids.astype(ids.dtype.newbyteorder("<"), copy=False).data


def _cached_path(name: str, normalisation: str, encoding: str) -> Path:
    """Where the ids of the file ``name`` are, or will be: by its content, not its name."""
    with open_binary(name) as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    # What NFC does depends on the version of Unicode that Python brings.
    key = (FORMAT, content, normalisation, encoding, unicodedata.unidata_version)
    directory = writable_directory([cache_directory(), data_directory()])
    return directory / f"encoded-{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.ids"


def _encode_to_file(
    cached: Path, name: str, before: os.stat_result, normalisation: str, encoding: str
) -> None:
    """Write the encoded text ``name``: one pass over it to count, and one to encode."""
    _remove_abandoned(cached)
    with tqdm(total=2 * before.st_size, unit="B", unit_scale=True, desc=f"Encoding {name}") as bar:

        def pieces() -> Iterator[str]:
            for piece in iterate_text(name, encoding, PIECE_BYTES):
                yield piece
                bar.update(min(PIECE_BYTES, bar.total - bar.n))

        vocabulary, num_characters, losses = _count(name, pieces(), normalisation)
        num_bytes = num_characters * vocabulary.dtype.itemsize
        if num_bytes > (free := shutil.disk_usage(cached.parent).free):
            raise UserError(
                f"{name} takes {num_bytes / 2**20:,.0f} MiB once encoded, and {cached.parent} has "
                f"{free / 2**20:,.0f} MiB left: make room there."
            )
        digest = _start_digest(vocabulary)
        with atomic_writer(cached) as file:
            # The digest is known last: its place is kept until then.
            file.write(_header(vocabulary, num_characters, losses, "?" * len(digest.hexdigest())))
            num_written = 0
            for ids in _encode(vocabulary, pieces()):
                file.write(_little_endian(ids))
                digest.update(_little_endian(ids))
                num_written += len(ids)
            after = os.stat(name)
            if num_written != num_characters or _version(after) != _version(before):
                raise UserError(f"{name} has changed while it was being encoded: start again.")
            file.seek(0)
            file.write(_header(vocabulary, num_characters, losses, digest.hexdigest()))


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _header(vocabulary: Vocabulary, num_characters: int, losses: Losses, digest: str) -> bytes:
    header = json.dumps(
        {
            "num_characters": num_characters,
            "digest": digest,
            "losses": losses,
            "vocabulary": vocabulary.config,
        }
    )
    # Padded, so that the ids begin at a multiple of 64 bytes.
    return header.encode().ljust((len(header) // 64 + 1) * 64 - 1) + b"\n"


def _read_header(cached: Path) -> tuple[dict[str, Any], int] | None:
    """The header of a cached file and its length; None if there is no such file, or it is
    damaged."""
    try:
        with open(cached, "rb") as file:
            line = file.readline(MAX_HEADER_BYTES)
            num_bytes = os.fstat(file.fileno()).st_size - len(line)
        header = json.loads(line)
        vocabulary = Vocabulary.from_config(header["vocabulary"])
        Losses(*header["losses"])
        whole = num_bytes == header["num_characters"] * vocabulary.dtype.itemsize
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    return (header, len(line)) if whole else None


def _remove_abandoned(cached: Path) -> None:
    """Remove what processes that were killed have left unfinished, a day ago or more."""
    for path in cached.parent.glob(f".{cached.name}.*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - 24 * 60 * 60:
                path.unlink()


def _map(name: str, cached: Path, max_chars: int | None) -> EncodedText:
    found = _read_header(cached)
    if found is None:
        raise UserError(f"{cached} has been removed or damaged meanwhile: start again.")
    header, offset = found
    vocabulary = Vocabulary.from_config(header["vocabulary"])
    with open_binary(cached) as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    dtype, num_characters = vocabulary.dtype.newbyteorder("<"), header["num_characters"]
    ids = np.frombuffer(mapping, dtype, num_characters, offset)[:max_chars]
    losses = Losses(*header["losses"])
    text = EncodedText(name, ids, vocabulary, header["digest"], losses, cached, mapping)
    if len(ids) == num_characters:
        return text
    digest = _start_digest(vocabulary)
    for start in range(0, len(ids), PIECE_BYTES):
        digest.update(_little_endian(ids[start : start + PIECE_BYTES]))
        text.release()
    return replace(text, digest=digest.hexdigest())
