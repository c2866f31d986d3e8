"""Characters <-> ids.

The vocabulary is that of the book (d2l.ai, "Text Preprocessing"): ``<unk>`` is id 0, then the
characters by falling frequency. It is built from, and saved as, plain Python types, so that it
travels inside a checkpoint together with the normalisation.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from charlm.errors import UserError
from charlm.text.documents import mark_of, marked_pieces
from charlm.text.normalisation import check_normalisation, normalise
from charlm.text.sources import joined

UNKNOWN = "<unk>"
UNKNOWN_ID = 0


def code_points(text: str) -> np.ndarray:
    """The Unicode code points [N] of N characters, of type uint8 or uint32."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


class Vocabulary:
    """A fixed, ordered set of characters; a character's id is its place in ``symbols``.

    Args:
        characters: the known characters, each once, most frequent first; they get ids 1, 2, ...
            (id 0 is ``<unk>``, every other character).
        normalisation: how a text is normalised before it is encoded.
        documents: how documents are told apart (``charlm.text.documents``); none: a text is one.

    Raises:
        UserError: a character stands twice, an entry isn't one character, the normalisation is
            unknown, or the documents' mark isn't among the characters.
    """

    def __init__(
        self,
        characters: Iterable[str],
        normalisation: str = "none",
        documents: str | None = None,
    ) -> None:
        known = tuple(characters)
        if any(len(character) != 1 for character in known) or len(set(known)) != len(known):
            raise UserError("A vocabulary is made of single characters, each of them once.")
        check_normalisation(normalisation)
        self.normalisation = normalisation
        self.documents = documents
        self.symbols = (UNKNOWN, *known)
        codes = np.array([ord(character) for character in known], dtype=np.int64)
        # The last entry is no known character: where every code above is looked up.
        self._id_of_code = np.zeros(int(codes.max(initial=-1)) + 2, dtype=self.dtype)
        self._id_of_code[codes] = np.arange(1, len(self.symbols))
        if self.mark is not None and self.mark not in self:
            raise UserError(f"A vocabulary of documents needs their mark {self.mark!r}.")

    @classmethod
    def from_counts(
        cls,
        counts: Mapping[str, int],
        normalisation: str = "none",
        documents: str | None = None,
    ) -> "Vocabulary":
        """Characters by falling count; equal counts by code point, so that it is the same
        everywhere."""
        ordered = sorted(counts, key=lambda character: (-counts[character], character))
        return cls(ordered, normalisation, documents)

    @classmethod
    def from_text(cls, text: str, normalisation: str = "none") -> "Vocabulary":
        """The vocabulary of a text that is normalised already."""
        return cls.from_counts(Counter(text), normalisation)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Vocabulary":
        """The inverse of ``config``.

        Raises:
            UserError: it is no such configuration.
        """
        if not isinstance(config, Mapping) or not {"characters", "normalisation"} <= set(config):
            raise UserError(
                "That is no vocabulary's configuration: take data.vocabulary of a CharDataModule, or "
                "a Vocabulary's config."
            )
        return cls(config["characters"], config["normalisation"], config.get("documents"))

    @property
    def config(self) -> dict[str, Any]:
        """Plain types only: what a checkpoint stores."""
        config = {"characters": list(self.symbols[1:]), "normalisation": self.normalisation}
        return config if self.documents is None else config | {"documents": self.documents}

    @property
    def mark(self) -> str | None:
        """The character between two documents; none in a text that is one."""
        return None if self.documents is None else mark_of(self.documents)

    @property
    def mark_id(self) -> int | None:
        """Its id: where a symbol is read with this id, a document begins."""
        return None if self.mark is None else int(self.encode(self.mark)[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integer type that holds every id."""
        return np.min_scalar_type(len(self.symbols) - 1)

    def __len__(self) -> int:
        return len(self.symbols)

    def __repr__(self) -> str:
        documents = "" if self.documents is None else f", documents {self.documents!r}"
        known = f"{len(self) - 1} characters"
        return f"<Vocabulary of {known}, normalisation {self.normalisation}{documents}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.config == other.config

    __hash__ = None  # type: ignore[assignment]

    def normalise(self, text: str) -> str:
        """Normalise ``text``, a passage of one document, as the training corpus was."""
        return normalise(text, self.normalisation)

    def prepare(self, text: str) -> str:
        """A whole ``text`` normalised as the training corpus was, its documents with their marks.

        "" where nothing but marks would be left.
        """
        return self.prepare_files([[text]])

    def prepare_files(self, texts: Iterable[Iterable[str]]) -> str:
        """The same of several files, each in pieces: one text, but no document goes on in the next."""
        if self.documents is None:
            return self.normalise("".join(joined(texts)))
        marked = "".join(marked_pieces(texts, self.documents, self.normalisation))
        return marked if len(marked) > 1 else ""

    def encode(self, text: str) -> np.ndarray:
        """Ids [N] of the N characters of a normalised text; unknown characters get id 0."""
        return self._id_of_code.take(code_points(text), mode="clip")

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids; ``<unk>`` for id 0."""
        return "".join(self.symbols[i] for i in ids)

    def unknown_characters(self, text: str) -> list[str]:
        """The characters of ``text`` that have no id, each once, in order of appearance."""
        return [character for character in dict.fromkeys(text) if character not in self]

    def __contains__(self, character: str) -> bool:
        code = ord(character)
        return code < len(self._id_of_code) and bool(self._id_of_code[code] != UNKNOWN_ID)
