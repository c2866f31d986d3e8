"""A text as an array of ids."""

import hashlib
import json
import os
from dataclasses import dataclass

import numpy as np

from charlm.corpora import read_corpus
from charlm.errors import UserError
from charlm.files import read_text
from charlm.vocabulary import Vocabulary, normalise


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
    """

    name: str
    ids: np.ndarray
    vocabulary: Vocabulary
    digest: str


def encode_corpus(
    corpus: str | None = None,
    path: str | os.PathLike[str] | None = None,
    normalisation: str = "none",
    max_chars: int | None = None,
    encoding: str = "utf-8",
) -> EncodedText:
    """Read, normalise and encode a named corpus or a file.

    Args:
        corpus: name of a corpus (``charlm.corpora.CORPORA``).
        path: a file instead.
        normalisation: see ``charlm.vocabulary.normalise``.
        max_chars: encode only so many characters of the normalised text, as the book does
            (``max_tokens``); its vocabulary is that of the whole text.
        encoding: of the file at ``path``.

    Raises:
        UserError: not exactly one of ``corpus`` and ``path`` is given; the text can't be had
            (``charlm.corpora.CorpusUnavailable`` if that is for want of a network); or nothing
            is left of it after normalisation.
    """
    if (corpus is None) == (path is None):
        raise UserError("Give either a corpus (--data.corpus) or a file (--data.path).")
    if max_chars is not None and max_chars < 1:
        raise UserError(f"max_chars is {max_chars}: it must be at least 1, or null for all.")
    if path is not None:
        name, text = os.fspath(path), read_text(path, encoding)
    else:
        assert corpus is not None
        name, text = corpus, read_corpus(corpus)
    text = normalise(text, normalisation)
    if not text:
        raise UserError(
            f"Nothing is left of {name} after the normalisation {normalisation!r}: try 'none'."
        )
    vocabulary = Vocabulary.from_text(text, normalisation)
    ids = vocabulary.encode(text[:max_chars])
    ids.flags.writeable = False
    return EncodedText(name, ids, vocabulary, _digest(vocabulary, ids))


def _digest(vocabulary: Vocabulary, ids: np.ndarray) -> str:
    digest = hashlib.sha256(json.dumps(vocabulary.config, sort_keys=True).encode())
    digest.update(ids.astype(ids.dtype.newbyteorder("<"), copy=False))
    return digest.hexdigest()
