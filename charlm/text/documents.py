"""Short texts that have nothing to do with one another: where one ends and the next begins.

A text of documents is encoded as ``mark`` document ``mark`` document ... ``mark``. A mark ends the
document before it, and is what a model has read when it predicts the first character of the next: the
state is zero before a mark. So every character of a document is predicted exactly once, and its
end too.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from charlm.text.normalisation import normalise, normalise_pieces

# How documents can be told apart; any other string is a line that stands between two of them.
LINE, FILE = "line", "file"
NEWLINE = "\n"
# Unicode's own sign for it, where the documents have newlines in them.
RECORD_SEPARATOR = "\x1e"
# So many characters are handed on at a time.
PIECE = 2**17

_EMPTY_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")


def mark_of(documents: str) -> str:
    """The character that stands between two documents, before the first and after the last."""
    return NEWLINE if documents == LINE else RECORD_SEPARATOR


def marked_pieces(
    texts: Iterable[Iterable[str]], documents: str, normalisation: str
) -> Iterator[str]:
    """Normalised documents with their marks, in pieces. Empty documents are left out.

    A mark that a text has already counts as one, so that a marked text stays as it is.

    Args:
        texts: the text of each file, in pieces.
        documents: ``line``: every line is one; ``file``: every file is; else the line between two
            of them, "" for an empty one.
        normalisation: of each document by itself.
    """
    if documents == LINE:
        return _lines(texts, normalisation)
    if documents == FILE:
        parted: Iterable[Iterable[str]] = texts
    else:
        parted = chain.from_iterable(_parted(text, documents) for text in texts)
    return gathered(_marked(parted, normalisation))


def _lines(texts: Iterable[Iterable[str]], normalisation: str) -> Iterator[str]:
    yield NEWLINE
    for text in texts:
        for block in _blocks(text):
            if normalisation == "none":
                # A newline is never composed with anything: the block is normalised as its lines.
                block = _EMPTY_LINES.sub(NEWLINE, NEWLINE + normalise(block, "none"))[1:]
            else:
                lines = (normalise(line, normalisation) for line in block.split(NEWLINE))
                block = "".join(line + NEWLINE for line in lines if line.strip())
            if block:
                yield block


def _blocks(text: Iterable[str]) -> Iterator[str]:
    """The text in pieces that end with a line each."""
    rest: list[str] = []
    for piece in text:
        lines, newline, begun = piece.rpartition(NEWLINE)
        if newline:
            yield "".join([*rest, lines, newline])
            rest = []
        rest.append(begun)
    if last := "".join(rest):
        yield last + NEWLINE


def _parted(text: Iterable[str], separator: str) -> Iterator[list[str]]:
    """The documents of a text, each as the one piece that it is."""
    separator = separator.strip()
    document: list[str] = []
    for block in _blocks(text):
        for line in block.split(NEWLINE)[:-1]:
            if line.strip() == separator:
                yield [NEWLINE.join(document).strip(NEWLINE)]
                document = []
            else:
                document.append(line)
    yield [NEWLINE.join(document).strip(NEWLINE)]


def _marked(texts: Iterable[Iterable[str]], normalisation: str) -> Iterator[str]:
    yield RECORD_SEPARATOR
    for document in _divided(texts):
        has_begun = False
        for piece in normalise_pieces(document, normalisation):
            if piece:
                yield piece
                has_begun = True
        if has_begun:
            yield RECORD_SEPARATOR


def _divided(texts: Iterable[Iterable[str]]) -> Iterator[list[str]]:
    """The texts, and where there are marks in one, what stands between them."""
    for text in texts:
        document: list[str] = []
        for piece in text:
            first, *others = piece.split(RECORD_SEPARATOR)
            document.append(first)
            for other in others:
                yield document
                document = [other]
        yield document


def gathered(pieces: Iterable[str], size: int = PIECE) -> Iterator[str]:
    """The same characters in fewer pieces, of ``size`` characters and more but for the last."""
    held: list[str] = []
    length = 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length >= size:
            yield "".join(held)
            held, length = [], 0
    if held:
        yield "".join(held)
