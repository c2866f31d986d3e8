"""What a normalisation leaves out: counted, named, and told only where it is more than a little."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.encoding import encode_corpus
from charlm.text.losses import LossCounter, Losses
from charlm.text.normalisation import normalise

TEXT = st.text(alphabet="aZé ñ世\n\t.7e\u0301\u0323")


def losses_of(text: str, normalisation: str, size: int = 3) -> Losses:
    counter = LossCounter(normalisation)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert list(counter.watch(pieces)) == pieces
    return counter.losses()


@given(TEXT, st.sampled_from(["book", "letters"]), st.integers(1, 9))
def test_what_is_neither_kept_nor_white_space_is_lost(
    text: str, normalisation: str, size: int
) -> None:
    kept = Counter(normalise(text, normalisation)) + Counter(c for c in text if c.isspace())
    kept.subtract([" "] * kept[" "])
    expected = len(text) - sum(c.isspace() for c in text)
    expected -= sum(count for c, count in kept.items() if c.isalpha())
    assert losses_of(text, normalisation, size).num_lost == expected


@given(TEXT)
def test_a_composed_text_loses_nothing_by_being_taken_as_it_is(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)
    assert losses_of(composed, "none", len(composed) or 1).num_lost == 0


def test_the_sentence_names_how_much_and_what() -> None:
    text = "L'été, à Nîmes\u0007 " * 10
    losses = losses_of(text, "book")
    assert losses.num_characters == 160
    assert losses.is_worth_telling
    assert losses.sentence("my.txt", "book") == (
        "The normalisation 'book' leaves out 70 of the 160 characters of my.txt (43.8%): "
        "é U+0007 ' , à î; with --data.normalisation none the text is taken as it is."
    )


def test_marks_typed_apart_are_told() -> None:
    losses = losses_of("e\u0301", "none")
    assert losses.sentence("viet.txt", "none") == (
        "Unicode's composed form (NFC) replaces 2 of the 2 characters of viet.txt (100.0%): e U+0301."
    )


def test_only_the_most_frequent_are_named() -> None:
    losses = losses_of("".join(chr(0x4E00 + i) * (20 - i) for i in range(13)), "letters")
    assert losses.most_frequent == "".join(chr(0x4E00 + i) for i in range(10))
    assert "and 3 more kinds" in losses.sentence("x", "letters")


@pytest.mark.parametrize("normalisation", ["book", "letters"])
def test_the_novel_loses_its_punctuation(novel: str, normalisation: str) -> None:
    losses = encode_corpus("time-machine", normalisation=normalisation).losses
    assert losses.num_characters == len(novel)
    expected = sum(not (c.isspace() or (c.isascii() and c.isalpha())) for c in novel)
    assert losses.num_lost == expected
