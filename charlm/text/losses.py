"""What a normalisation leaves out of a text: how much, and which characters."""

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from charlm.text.vocabulary import code_points

# Of a text's characters: what is more than a little, and is told.
WORTH_TELLING = 0.01
# So many kinds of characters are named, the most frequent first.
MOST_NAMED = 10


class Losses(NamedTuple):
    """Characters of a text that a normalisation drops or replaces.

    Capitals that become small and white space that becomes a space don't count: they are what
    one asks ``book`` and ``letters`` for.

    Args:
        num_lost: how many they are,
        num_characters: of how many that were read.
        most_frequent: the most frequent of them, each once, ``MOST_NAMED`` at most.
        num_kinds: how many kinds of characters they are.
    """

    num_lost: int
    num_characters: int
    most_frequent: str
    num_kinds: int

    @property
    def is_worth_telling(self) -> bool:
        return self.num_lost > WORTH_TELLING * self.num_characters

    def sentence(self, name: str, normalisation: str) -> str:
        """What the text ``name`` has lost, for its user."""
        num_more = self.num_kinds - len(self.most_frequent)
        lost = (
            f"{self.num_lost:,} of the {self.num_characters:,} characters of {name} "
            f"({self.num_lost / self.num_characters:.1%}): {listed(self.most_frequent, num_more)}"
        )
        if normalisation == "none":
            return f"Unicode's composed form (NFC) replaces {lost}."
        return (
            f"The normalisation {normalisation!r} leaves out {lost}; with --data.normalisation none "
            "the text is taken as it is."
        )

    def unknown_sentence(self, name: str) -> str:
        """What a vocabulary that was given lacks of the text ``name``, for its user."""
        num_more = self.num_kinds - len(self.most_frequent)
        return (
            f"{self.num_lost:,} of the {self.num_characters:,} characters of {name} "
            f"({self.num_lost / self.num_characters:.1%}) are unknown to the vocabulary that is "
            f"kept, and are read as <unk>: {listed(self.most_frequent, num_more)}."
        )


class LossCounter:
    """Count the characters that a normalisation leaves out, of a text that is read in pieces."""

    def __init__(self, normalisation: str) -> None:
        self._composes = normalisation == "none"
        self._counts = np.zeros(sys.maxunicode + 1, dtype=np.int64)
        self._num_characters = 0

    def watch(self, pieces: Iterable[str]) -> Iterator[str]:
        """The pieces as they are, each counted as it passes."""
        for piece in pieces:
            self._num_characters += len(piece)
            if not self._composes:
                self._add(np.bincount(code_points(piece)))
            elif not unicodedata.is_normalized("NFC", piece):
                before = np.bincount(code_points(piece))
                composed = code_points(unicodedata.normalize("NFC", piece))
                after = np.bincount(composed, minlength=len(before))[: len(before)]
                self._add(np.maximum(before - after, 0))
            yield piece

    def _add(self, counts: np.ndarray) -> None:
        self._counts[: len(counts)] += counts

    def losses(self) -> Losses:
        """What was left out of the pieces so far."""
        counts = self._counts
        if not self._composes:
            counts = counts.copy()
            kept = [code for code in np.flatnonzero(counts) if _is_kept(chr(code))]
            counts[kept] = 0
        kinds = np.flatnonzero(counts)
        most_frequent = kinds[np.argsort(-counts[kinds], kind="stable")][:MOST_NAMED]
        return Losses(
            int(counts.sum()),
            self._num_characters,
            "".join(map(chr, most_frequent)),
            len(kinds),
        )


def _is_kept(character: str) -> bool:
    """Whether ``book`` and ``letters`` keep a character, but for its case."""
    return (character.isascii() and character.isalpha()) or character.isspace()


def listed(characters: str, num_more: int) -> str:
    """Characters named for a reader; of what can't be seen, the code point."""
    names = " ".join(
        character
        if character.isprintable() and not unicodedata.combining(character)
        else f"U+{ord(character):04X}"
        for character in characters
    )
    return names + (f" and {num_more:,} more kinds" if num_more > 0 else "")
