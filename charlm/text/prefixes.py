"""What to continue where nobody says it: prefixes that the text itself begins its passages with."""

from collections.abc import Sequence

from charlm.text.encoded import EncodedText
from charlm.text.vocabulary import UNKNOWN_ID, Vocabulary

# The book's own text, and what its pages continue (d2l.ai, "RNN from scratch").
BOOK = "time-machine"
OF_THE_BOOK = ("time traveller", "traveller")
# A passage's length, and how far a word's beginning is looked for.
LENGTH = 20
SEARCHED = 200


def default_prefixes(text: EncodedText) -> tuple[str, ...]:
    """Two prefixes to continue: the book's own in its own text, else of the text's passages.

    They are the beginning of the text and that of a word in its middle; only one where both are
    the same. Every character of them has an id. Of documents, the empty beginning of one.
    """
    if text.vocabulary.mark is not None:
        return ("",)
    if text.name == BOOK and knows(text.vocabulary, OF_THE_BOOK):
        return OF_THE_BOOK
    found = [_passage(text, 0), _passage(text, _word_from(text, len(text.ids) // 2))]
    return tuple(dict.fromkeys(filter(None, found))) or (most_frequent(text.vocabulary),)


def most_frequent(vocabulary: Vocabulary) -> str:
    """The most frequent character that its normalisation leaves as a prefix."""
    return next(
        character for character in vocabulary.symbols[1:] if vocabulary.normalise(character)
    )


def knows(vocabulary: Vocabulary, texts: Sequence[str]) -> bool:
    """Whether every character of the texts has an id."""
    return not vocabulary.unknown_characters("".join(texts))


def _word_from(text: EncodedText, start: int) -> int:
    """Where the first word after ``start`` begins; ``start`` itself where no space is near."""
    nearby = text.vocabulary.decode(text.ids[start : start + SEARCHED])
    for place, character in enumerate(nearby):
        if character.isspace():
            return start + place + 1
    return start


def _passage(text: EncodedText, start: int) -> str:
    """Up to ``LENGTH`` characters from the first one that can be seen: of one line, whole words."""
    ids = text.ids[start : start + SEARCHED]
    passage = text.vocabulary.decode(ids[ids != UNKNOWN_ID]).lstrip()
    line = passage.split("\n")[0]
    if len(line) <= LENGTH:
        return line.rstrip()
    return (line[: LENGTH + 1].rpartition(" ")[0] or line[:LENGTH]).rstrip()
