"""A text as an array of ids: in memory, or mapped from the cache (``charlm.text.cache``)."""

import hashlib
import json
import mmap
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from charlm.errors import UserError
from charlm.text import cache
from charlm.text.losses import Losses
from charlm.text.vocabulary import Vocabulary

# Small enough for the processor's cache, large enough that a piece costs more than its call.
PIECE_BYTES = 2**18


@dataclass(frozen=True, eq=False)
class EncodedText:
    """N characters as ids.

    Args:
        name: the corpus's name, or the path that names the text.
        ids: [N], read-only, of ``vocabulary.dtype``.
        vocabulary: of the whole normalised text, whether or not the ids are cut short; or the one
            that was given.
        digest: SHA-256 (hexadecimal) of the vocabulary (normalisation, characters and their
            order) and of the N ids: equal exactly if the same characters are encoded in the same
            way. Text that ``max_chars`` cuts off doesn't count, but for the vocabulary.
        losses: what the normalisation has left out of the whole text.
        unknown: what of the whole normalised text the vocabulary lacks.
        cached: the file that is mapped, if the text is.
        mapping: its mapping.
    """

    name: str
    ids: np.ndarray
    vocabulary: Vocabulary
    digest: str
    losses: Losses
    unknown: Losses
    cached: Path | None = None
    mapping: mmap.mmap | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.ids.flags.writeable = False

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapped text goes to another process by name, not by content.
        if self.cached is not None:
            return mapped_text, (self.name, self.cached, len(self.ids))
        content = (self.name, self.ids, self.vocabulary, self.digest, self.losses, self.unknown)
        return EncodedText, content

    def release(self) -> None:
        """Let go of the memory of a mapped text that was read; ``ids`` stay valid.

        The system keeps such pages as long as it has room, and counts them as the process's own.
        A text in memory, or a system that can't be told, is left as it is.
        """
        if self.mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.mapping.madvise(mmap.MADV_DONTNEED)


def mapped_text(name: str, cached: Path, max_chars: int | None) -> EncodedText:
    """The text whose ids a file of the cache has, or its first ``max_chars`` characters.

    Raises:
        UserError: there is no such file any more, or it is damaged.
    """
    found = cache.open_mapped(cached)
    if found is None:
        raise UserError(f"{cached} has been removed or damaged meanwhile: start again.")
    header, offset, mapping = found
    vocabulary = header.vocabulary
    dtype = vocabulary.dtype.newbyteorder("<")
    ids = np.frombuffer(mapping, dtype, header.num_characters, offset)[:max_chars]
    text = EncodedText(
        name, ids, vocabulary, header.digest, header.losses, header.unknown, cached, mapping
    )
    if len(ids) == header.num_characters:
        return text
    digest = start_digest(vocabulary)
    for start in range(0, len(ids), PIECE_BYTES):
        digest.update(little_endian(ids[start : start + PIECE_BYTES]))
        text.release()
    return replace(text, digest=digest.hexdigest())


def start_digest(vocabulary: Vocabulary) -> Any:
    """SHA-256 of the vocabulary, to be updated with the ids as ``little_endian`` has them."""
    return hashlib.sha256(json.dumps(vocabulary.config, sort_keys=True).encode())


def little_endian(ids: np.ndarray) -> memoryview:
    """The bytes of the ids, the same on every machine."""
    return ids.astype(ids.dtype.newbyteorder("<"), copy=False).data
