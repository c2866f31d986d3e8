"""Characters <-> ids, and the normalisations: the book's figures, Unicode, round trips."""

import json
import pickle
import sys
import unicodedata
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import UserError
from charlm.text.normalisation import NORMALISATIONS, normalise, normalise_pieces
from charlm.text.vocabulary import UNKNOWN, UNKNOWN_ID, Vocabulary, code_points

# Every character that Python's strings can hold: lone surrogates, too.
ANY_TEXT = st.text(alphabet=st.characters(codec=None, exclude_categories=()))
# Dense in what normalisations treat: ends of lines, letters of every kind, marks that combine,
# also with one another, Korean by parts, and characters whose decomposition begins with a mark.
TRICKY_TEXT = st.text(
    alphabet="aZ \n\t,é\u0301\u0323\u0308\u0344\u0f73\u0f71世😀가\u1100\u1161\u11a8\u212b\u0958"
    "\u09c7\u09be\ud800\0ß",
    max_size=24,
)


ALL_BELOW_100 = "".join(map(chr, range(100)))


# The book's figures


@pytest.mark.parametrize(
    ("normalisation", "num_characters", "num_symbols", "start"),
    [
        ("book", 170_580, 28, "the time machine by h g wells"),
        ("letters", 173_428, 28, "the time machine by h g wells "),
        ("none", 178_979, 71, "The Time Machine, by H. G. Wells [1898]\n"),
    ],
)
def test_the_novel_has_the_books_counts(
    novel: str, normalisation: str, num_characters: int, num_symbols: int, start: str
) -> None:
    text = normalise(novel, normalisation)
    assert len(text) == num_characters
    assert len(Vocabulary.from_text(text, normalisation)) == num_symbols
    assert text.startswith(start)


def test_the_book_joins_lines_without_a_space(novel: str) -> None:
    assert "glitteringmetallic framework" in normalise(novel, "book")
    assert "glittering metallic framework" in normalise(novel, "letters")


def test_the_books_vocabulary_begins_with_the_frequent_characters(novel: str) -> None:
    vocabulary = Vocabulary.from_text(normalise(novel, "book"), "book")
    assert vocabulary.symbols[:10] == ("<unk>", " ", "e", "t", "a", "i", "n", "o", "s", "h")


# Order


@given(ANY_TEXT)
def test_ids_follow_falling_frequency_then_code_point(text: str) -> None:
    vocabulary = Vocabulary.from_text(text)
    keys = [(-text.count(character), ord(character)) for character in vocabulary.symbols[1:]]
    assert keys == sorted(keys)
    assert set(vocabulary.symbols[1:]) == set(text)


@given(ANY_TEXT, st.randoms())
def test_the_order_of_the_text_makes_no_difference(text: str, random: Random) -> None:
    shuffled = list(text)
    random.shuffle(shuffled)
    assert Vocabulary.from_text("".join(shuffled)) == Vocabulary.from_text(text)


# Round trips


@given(TRICKY_TEXT | ANY_TEXT, st.sampled_from(NORMALISATIONS))
def test_decoding_gives_the_normalised_text_back(text: str, normalisation: str) -> None:
    normalised = normalise(text, normalisation)
    vocabulary = Vocabulary.from_text(normalised, normalisation)
    ids = vocabulary.encode(normalised)
    assert vocabulary.decode(ids) == normalised
    assert ids.dtype == vocabulary.dtype
    assert len(ids) == len(normalised)


@given(TRICKY_TEXT, st.sampled_from(NORMALISATIONS))
def test_a_config_is_plain_and_gives_the_vocabulary_back(text: str, normalisation: str) -> None:
    vocabulary = Vocabulary.from_text(normalise(text, normalisation), normalisation)
    config = json.loads(json.dumps(vocabulary.config))
    assert config == vocabulary.config
    assert Vocabulary.from_config(config) == vocabulary
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary


def test_vocabularies_differ_by_order_and_by_normalisation() -> None:
    assert Vocabulary("ab") != Vocabulary("ba")
    assert Vocabulary("ab", "book") != Vocabulary("ab", "none")
    assert Vocabulary("ab") != "ab"


@pytest.mark.parametrize(("num_characters", "itemsize"), [(255, 1), (256, 2), (65_536, 4)])
def test_ids_take_the_smallest_type_that_holds_them(num_characters: int, itemsize: int) -> None:
    vocabulary = Vocabulary(map(chr, range(num_characters)))
    assert vocabulary.dtype == f"u{itemsize}"
    last = chr(num_characters - 1)
    assert vocabulary.encode(last).tolist() == [num_characters]
    assert vocabulary.decode([num_characters]) == last


# Unknown characters


@pytest.mark.parametrize("known", ["", "a", "é", "a世", "😀\U0010ffff", "\ud800", ALL_BELOW_100])
def test_an_unknown_character_has_id_0(known: str) -> None:
    vocabulary = Vocabulary(known)
    for character in map(
        chr, [0, 0x7F, 0x80, 0xE9, 0x4E16, 0xD800, 0xDFFF, 0x1F600, sys.maxunicode]
    ):
        is_known = character in known
        assert (character in vocabulary) == is_known
        ids = vocabulary.encode(character + "a")
        assert (ids[0] != UNKNOWN_ID) == is_known
        assert vocabulary.decode(ids[:1]) == (character if is_known else UNKNOWN)


@given(ANY_TEXT, ANY_TEXT)
def test_unknown_characters_are_those_without_an_id(known: str, text: str) -> None:
    vocabulary = Vocabulary.from_text(known)
    unknown = vocabulary.unknown_characters(text)
    assert unknown == list(dict.fromkeys(c for c in text if c not in known))
    assert set(unknown) == {c for c, i in zip(text, vocabulary.encode(text), strict=True) if i == 0}


@pytest.mark.parametrize("characters", [["a", "b", "a"], ["ab"], [""], ["<unk>"]])
def test_a_vocabulary_is_of_single_characters(characters: list[str]) -> None:
    with pytest.raises(UserError, match="single characters, each of them once"):
        Vocabulary(characters)


# Normalisations


def test_an_unknown_normalisation_lists_the_known_ones() -> None:
    for refuse in (
        lambda: normalise("a", "bok"),
        lambda: normalise_pieces(["a"], "bok"),
        lambda: Vocabulary("a", "bok"),
    ):
        with pytest.raises(UserError, match=r"Unknown normalisation 'bok': .* book, letters, none"):
            refuse()


@pytest.mark.parametrize(
    ("normalisation", "expected"),
    [
        ("book", "caf noirla cole"),
        ("letters", " caf noir la cole "),
        ("none", "\0Café (Noir)\n\n  L'À école\ud800 "),
    ],
)
def test_what_a_normalisation_does(normalisation: str, expected: str) -> None:
    text = "\0Cafe\u0301 (Noir)\n\n  L'A\u0300 école\ud800 "
    if normalisation != "none":
        expected = expected.replace("caf ", "cafe ").replace("la cole", "l a cole")
    assert normalise(text, normalisation) == expected


@given(TRICKY_TEXT | ANY_TEXT, st.sampled_from(NORMALISATIONS))
def test_a_normalised_text_stays_as_it_is(text: str, normalisation: str) -> None:
    once = normalise(text, normalisation)
    assert normalise(once, normalisation) == once


@given(TRICKY_TEXT)
def test_none_keeps_every_written_character(text: str) -> None:
    assert normalise(text, "none") == unicodedata.normalize("NFC", text)
    assert normalise(unicodedata.normalize("NFD", text), "none") == normalise(text, "none")


@given(
    st.lists(TRICKY_TEXT | st.text("\u0301\u0323a ", max_size=3)), st.sampled_from(NORMALISATIONS)
)
def test_piece_by_piece_is_the_same_as_whole(pieces: list[str], normalisation: str) -> None:
    expected = normalise("".join(pieces), normalisation)
    assert "".join(normalise_pieces(pieces, normalisation)) == expected


def test_a_piece_may_end_within_every_composed_character() -> None:
    for character in map(chr, range(sys.maxunicode + 1)):
        decomposed = unicodedata.normalize("NFD", character)
        if decomposed != character:
            for cut in range(1, len(decomposed) + 1):
                pieces = ["a" + decomposed[:cut], decomposed[cut:] + "a"]
                expected = normalise("".join(pieces), "none")
                assert "".join(normalise_pieces(pieces, "none")) == expected


def test_a_piece_may_end_between_marks_in_the_wrong_order() -> None:
    last_mark = "\u0345"  # the highest combining class: every other mark moves before it
    for mark in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.combining(mark):
            pieces = ["a" + last_mark + mark, "a"]
            expected = normalise("".join(pieces), "none")
            assert "".join(normalise_pieces(pieces, "none")) == expected


@pytest.mark.parametrize("text", ["words, words ", "世界", "éÀ", "가나"])
def test_none_does_not_wait_for_the_end(text: str) -> None:
    """Memory stays constant only if pieces are given on as they come, with or without ASCII."""
    first = next(normalise_pieces(iter([text * 1000]), "none"))
    assert len(first) == len(text) * 1000 - 1


@given(ANY_TEXT)
def test_code_points_are_those_of_ord(text: str) -> None:
    codes = code_points(text)
    assert codes.tolist() == [ord(character) for character in text]
    assert codes.dtype in (np.uint8, np.uint32)
