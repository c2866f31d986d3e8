"""From a text to its ids: the whole way, in memory or through a file.

A large text is encoded once, one piece in memory at a time, into ``~/.cache/charlm``; what a later
run reads is that file (``charlm.text.cache``), and of it only what the training touches.
"""

import hashlib
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from charlm.errors import UserError
from charlm.text import cache
from charlm.text.corpora import cache_directory, data_directory, read_corpus, writable_directory
from charlm.text.documents import marked_pieces
from charlm.text.encoded import (
    PIECE_BYTES,
    EncodedText,
    little_endian,
    mapped_text,
    start_digest,
)
from charlm.text.files import atomic_writer
from charlm.text.losses import MOST_NAMED, LossCounter, Losses
from charlm.text.normalisation import check_normalisation, normalise_pieces
from charlm.text.sources import Paths, Source, joined
from charlm.text.vocabulary import Vocabulary, code_points

# A text from this size on is mapped; below, its text and ids are held in memory.
LARGE_FILE_BYTES = 32 * 2**20
# Part of the cached file's name: another layout or meaning is another file.
FORMAT = 3

Texts = Iterable[Iterable[str]]


def encode_corpus(
    corpus: str | None = None,
    path: Paths | None = None,
    normalisation: str = "none",
    max_chars: int | None = None,
    encoding: str = "utf-8",
    documents: str | None = None,
    vocabulary: Vocabulary | None = None,
) -> EncodedText:
    """Read, normalise and encode a named corpus or a text of one's own.

    Args:
        corpus: name of a corpus (``charlm.text.corpora.CORPORA``).
        path: files instead (``charlm.text.sources``); ``LARGE_FILE_BYTES`` or more are mapped.
        normalisation: see ``charlm.text.normalisation.normalise``.
        max_chars: encode only so many characters of the normalised text, as the book does
            (``max_tokens``); its vocabulary is that of the whole text.
        encoding: of the files.
        documents: how documents are told apart (``charlm.text.documents``); none: all is one text.
        vocabulary: encode by this one, its normalisation and documents; none: by the text's own.

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
    encoder = Encoder(normalisation, documents, vocabulary)
    if corpus is not None:
        return _encode_in_memory(corpus, [[read_corpus(corpus)]], encoder, max_chars)
    assert path is not None
    source = Source(path)
    # What is no regular file (a pipe) can be read only once.
    can_be_mapped = source.can_be_read_again
    if not can_be_mapped or source.num_bytes < LARGE_FILE_BYTES:
        limit = LARGE_FILE_BYTES if can_be_mapped else sys.maxsize
        texts = _held(source.texts(encoding, PIECE_BYTES), limit)
        if texts is not None:
            return _encode_in_memory(source.name, texts, encoder, max_chars)
    before = source.version()
    cached = _cached_path(source, encoder, encoding)
    if cache.open_mapped(cached) is None:
        _encode_to_file(cached, source, before, encoder, encoding)
        cache.make_room(cached.parent, cached)
    return mapped_text(source.name, cached, max_chars)


class Encoder:
    """How texts become ids: by a vocabulary that is given, or by the one that they have.

    Args: see ``encode_corpus``.
    """

    def __init__(
        self, normalisation: str, documents: str | None, vocabulary: Vocabulary | None
    ) -> None:
        self.given = vocabulary
        self.normalisation = normalisation if vocabulary is None else vocabulary.normalisation
        self.documents = documents if vocabulary is None else vocabulary.documents

    @property
    def key(self) -> tuple[Any, ...]:
        """What the ids of one and the same text depend on."""
        # What NFC does depends on the version of Unicode that Python brings.
        given = self.given and self.given.config
        return self.normalisation, self.documents, given, unicodedata.unidata_version

    def normalised(self, texts: Texts) -> Iterator[str]:
        """All texts normalised, with the marks between documents, in pieces."""
        if self.documents is None:
            return normalise_pieces(joined(texts), self.normalisation)
        return marked_pieces(texts, self.documents, self.normalisation)

    def count(self, name: str, texts: Texts) -> tuple[Vocabulary, int, Losses, Losses]:
        """The vocabulary, the length when normalised, what that leaves out, and what is unknown."""
        counts = np.zeros(sys.maxunicode + 1, dtype=np.int64)
        counter = LossCounter(self.normalisation)
        for piece in self.normalised(counter.watch(text) for text in texts):
            counts_of_piece = np.bincount(code_points(piece))
            counts[: len(counts_of_piece)] += counts_of_piece
        num_characters = int(counts.sum())
        # Of documents, their first mark alone is nothing.
        if num_characters <= (self.documents is not None):
            if self.normalisation == "none":
                raise UserError(f"All documents of {name} are empty: give a file with text in it.")
            raise UserError(
                f"Nothing is left of {name} after the normalisation {self.normalisation!r}: try "
                "'none'."
            )
        found = {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}
        vocabulary = self.given or Vocabulary.from_counts(found, self.normalisation, self.documents)
        unknown = {c: n for c, n in found.items() if c not in vocabulary}
        most_frequent = sorted(unknown, key=lambda character: -unknown[character])[:MOST_NAMED]
        num_unknown = sum(unknown.values())
        lacking = Losses(num_unknown, num_characters, "".join(most_frequent), len(unknown))
        return vocabulary, num_characters, counter.losses(), lacking


def _held(texts: Texts, limit: int) -> list[list[str]] | None:
    """The texts in memory; none where they are longer than ``limit`` (as compressed ones may be)."""
    held: list[list[str]] = []
    length = 0
    for text in texts:
        held.append([])
        for piece in text:
            held[-1].append(piece)
            length += len(piece)
            if length > limit:
                return None
    return held


def _encode_in_memory(
    name: str, texts: list[list[str]], encoder: Encoder, max_chars: int | None
) -> EncodedText:
    vocabulary, num_characters, losses, unknown = encoder.count(name, texts)
    ids = np.empty(min(num_characters, max_chars or num_characters), dtype=vocabulary.dtype)
    filled = 0
    for piece in encoder.normalised(texts):
        part = vocabulary.encode(piece)[: len(ids) - filled]
        ids[filled : filled + len(part)] = part
        filled += len(part)
        if filled == len(ids):
            break
    digest = start_digest(vocabulary)
    digest.update(little_endian(ids))
    return EncodedText(name, ids, vocabulary, digest.hexdigest(), losses, unknown)


def _cached_path(source: Source, encoder: Encoder, encoding: str) -> Path:
    """Where the ids of a text are, or will be: by its content, not its name."""
    key = (FORMAT, source.digests(), encoding, encoder.key)
    directory = writable_directory([cache_directory(), data_directory()])
    return directory / f"encoded-{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.ids"


def _encode_to_file(
    cached: Path, source: Source, before: list[tuple[int, ...]], encoder: Encoder, encoding: str
) -> None:
    """Write an encoded text: one pass over it to count, and one to encode."""
    cache.bound()  # which is wrong, is told before the work
    cache.remove_abandoned(cached)
    name = source.name
    with tqdm(
        total=2 * source.num_bytes, unit="B", unit_scale=True, desc=f"Encoding {name}"
    ) as bar:

        def texts() -> Iterator[Iterator[str]]:
            return map(watched, source.texts(encoding, PIECE_BYTES))

        def watched(text: Iterator[str]) -> Iterator[str]:
            for piece in text:
                yield piece
                bar.update(min(PIECE_BYTES, bar.total - bar.n))

        vocabulary, num_characters, losses, unknown = encoder.count(name, texts())
        num_bytes = num_characters * vocabulary.dtype.itemsize
        if num_bytes > (free := shutil.disk_usage(cached.parent).free):
            raise UserError(
                f"{name} takes {num_bytes / 2**20:,.0f} MiB once encoded, and {cached.parent} has "
                f"{free / 2**20:,.0f} MiB left: make room there."
            )
        digest = start_digest(vocabulary)
        unwritten = "?" * len(digest.hexdigest())
        header = cache.Header(num_characters, unwritten, losses, unknown, vocabulary)
        with atomic_writer(cached) as file:
            # The digest is known last: its place is kept until then.
            file.write(header.line())
            num_written = 0
            for piece in encoder.normalised(texts()):
                ids = vocabulary.encode(piece)
                file.write(little_endian(ids))
                digest.update(little_endian(ids))
                num_written += len(ids)
            if num_written != num_characters or source.version() != before:
                raise UserError(f"{name} has changed while it was being encoded: start again.")
            file.seek(0)
            file.write(header._replace(digest=digest.hexdigest()).line())
