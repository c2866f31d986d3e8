"""How a text is normalised before it is encoded: as a whole, or piece by piece.

``normalise`` is the definition. ``normalise_pieces`` gives the same characters for a text of any
length, one piece in memory at a time, and is some ten times as fast.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator

import numpy as np

from charlm.errors import UserError

NORMALISATIONS = ("book", "letters", "none")

_NOT_LETTERS = re.compile("[^A-Za-z]+")


def normalise(text: str, normalisation: str) -> str:
    """Return ``text`` as the model sees it.

    - ``book``: each line, every run of characters outside A-Z a-z becomes one space, stripped,
      lower case; the lines are joined with nothing (zh edition, section 8.2). The joins glue
      words together; that is what the book trains on.
    - ``letters``: the same over the whole text at once, unstripped (en edition, section 9.2).
    - ``none``: the text as it is, in Unicode's composed form (NFC), so that one written
      character is one symbol whichever way it was typed.

    Raises:
        UserError: ``normalisation`` is not one of ``NORMALISATIONS``.
    """
    if normalisation == "book":
        return "".join(_NOT_LETTERS.sub(" ", line).strip().lower() for line in text.split("\n"))
    if normalisation == "letters":
        return _NOT_LETTERS.sub(" ", text).lower()
    if normalisation == "none":
        return unicodedata.normalize("NFC", text)
    raise _unknown(normalisation)


def check_normalisation(normalisation: str) -> None:
    """Raise a UserError for a normalisation that doesn't exist."""
    if normalisation not in NORMALISATIONS:
        raise _unknown(normalisation)


def _unknown(normalisation: str) -> UserError:
    return UserError(
        f"Unknown normalisation {normalisation!r}: choose one of {', '.join(NORMALISATIONS)}."
    )


def normalise_pieces(pieces: Iterable[str], normalisation: str) -> Iterator[str]:
    """The pieces of a normalised text: joined, ``normalise`` of the pieces joined.

    Raises:
        UserError: ``normalisation`` is not one of ``NORMALISATIONS``.
    """
    if normalisation == "book":
        return _book_pieces(pieces)
    if normalisation == "letters":
        return _letters_pieces(pieces)
    check_normalisation(normalisation)
    return _composed_pieces(pieces)


# Of one byte: a letter becomes lower case, everything else a space.
_LETTERS = bytes(ord(chr(b).lower()) if chr(b).isalpha() and b < 128 else 32 for b in range(256))
_SPACE, _NEWLINE = ord(" "), ord("\n")
_LETTERS_AND_NEWLINES = _LETTERS[:_NEWLINE] + b"\n" + _LETTERS[_NEWLINE + 1 :]


def _translate(text: str, table: bytes) -> bytes:
    # What isn't ASCII becomes "?", which is no letter either.
    return text.encode("ascii", "replace").translate(table)


def _letters_pieces(pieces: Iterable[str]) -> Iterator[str]:
    after_space = False
    for piece in pieces:
        if piece:
            codes = np.frombuffer(_translate(piece, _LETTERS), dtype=np.uint8)
            is_letter = codes != _SPACE
            keep = is_letter.copy()
            keep[1:] |= is_letter[:-1]
            keep[0] |= not after_space
            after_space = not is_letter[-1]
            yield codes[keep].tobytes().decode("ascii")


def _book_pieces(pieces: Iterable[str]) -> Iterator[str]:
    # What the text so far ends with: a line's beginning; a letter; or a letter and spaces, which
    # become one space if a letter follows, and nothing if the line ends.
    line_start, letter, letter_and_space = b"\n", b"x", b"x "
    context = line_start
    for piece in pieces:
        translated = context + _translate(piece, _LETTERS_AND_NEWLINES)
        codes = np.frombuffer(translated, dtype=np.uint8)
        # Of spaces, only the first after a letter ...
        is_letter = (codes != _SPACE) & (codes != _NEWLINE)
        keep = codes != _SPACE
        keep[1:] |= is_letter[:-1]
        codes = codes[keep]
        # ... and of those only what stands before a letter; the last one must wait.
        is_letter = (codes != _SPACE) & (codes != _NEWLINE)
        keep = is_letter.copy()
        keep[:-1] |= (codes[:-1] == _SPACE) & is_letter[1:]
        kept = codes[keep].tobytes().decode("ascii")
        yield kept if context == line_start else kept[1:]
        last = codes[-1]
        context = {_NEWLINE: line_start, _SPACE: letter_and_space}.get(int(last), letter)


def _composed_pieces(pieces: Iterable[str]) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        text = rest + piece
        cut = len(text) - 1
        while cut > 0 and not _starts_anew(text[cut]):
            cut -= 1
        if cut > 0:
            yield unicodedata.normalize("NFC", text[:cut])
        rest = text[max(cut, 0) :]
    yield unicodedata.normalize("NFC", rest)


def _starts_anew(character: str) -> bool:
    """Whether NFC may be taken separately of what stands before the character, and of the rest.

    So it may where the decomposed character begins with a starter (combining class 0) that is
    never composed with a character before it (Unicode Standard Annex 15, section 9).
    """
    if character.isascii():
        return True
    first = unicodedata.normalize("NFD", character)[0]
    return unicodedata.combining(first) == 0 and first not in _composed_with_what_precedes()


@functools.cache
def _composed_with_what_precedes() -> frozenset[str]:
    """Every character that is the second of a canonical decomposition into two."""
    decompositions = (unicodedata.decomposition(chr(code)).split() for code in range(0x110000))
    seconds = {chr(int(d[1], 16)) for d in decompositions if len(d) == 2 and d[0][0] != "<"}
    # Korean syllables are composed by rule, not by table: the vowels and the final consonants.
    return frozenset(seconds) | frozenset(map(chr, range(0x1161, 0x11C3)))
