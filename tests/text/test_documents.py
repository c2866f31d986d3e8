"""Documents and their marks in a text: whatever parts them, and however it is read."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import UserError
from charlm.text.documents import RECORD_SEPARATOR as RS
from charlm.text.documents import marked_pieces
from charlm.text.encoding import encode_corpus
from charlm.text.normalisation import NORMALISATIONS, normalise
from charlm.text.splitting import split_text
from charlm.text.vocabulary import Vocabulary

TEXT = st.text(alphabet="aB \n-é.", max_size=40)


def marked(text: str, documents: str, normalisation: str = "none", size: int = 4) -> str:
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    return "".join(marked_pieces([pieces], documents, normalisation))


@pytest.mark.parametrize(
    ("text", "documents", "expected"),
    [
        ("anna\n\n \nbo\n", "line", "\nanna\nbo\n"),
        ("anna\nbo", "line", "\nanna\nbo\n"),
        ("a\nb\n\nc\n\n\n", "", f"{RS}a\nb{RS}c{RS}"),
        ("a\n\nb\n---\nc\n--- \n", "---", f"{RS}a\n\nb{RS}c{RS}"),
        ("a\nb\n", "file", f"{RS}a\nb\n{RS}"),
    ],
)
def test_documents_and_their_marks(text: str, documents: str, expected: str) -> None:
    assert marked(text, documents) == expected


@given(TEXT, st.sampled_from(NORMALISATIONS), st.integers(1, 9))
def test_lines_are_normalised_one_by_one(text: str, normalisation: str, size: int) -> None:
    lines = [normalise(line, normalisation) for line in text.split("\n")]
    expected = "\n" + "".join(line + "\n" for line in lines if line.strip())
    assert marked(text, "line", normalisation, size) == expected


@given(TEXT, st.sampled_from(["line", "file", "", "-"]), st.sampled_from(NORMALISATIONS))
def test_a_marked_text_stays_as_it_is(text: str, documents: str, normalisation: str) -> None:
    once = marked(text, documents, normalisation)
    if documents in ("line", "file"):
        assert marked(once, documents, normalisation) == once


def test_a_text_of_documents_begins_and_ends_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "1").write_text("one", encoding="utf-8")
    (tmp_path / "2").write_text("two\nlines\n", encoding="utf-8")
    text = encode_corpus(path=tmp_path, documents="file")
    assert text.vocabulary.decode(text.ids) == f"{RS}one{RS}two\nlines\n{RS}"
    again = Vocabulary.from_config(text.vocabulary.config)
    assert again == text.vocabulary
    assert again.mark_id == text.ids[0]


@given(st.integers(0, 30), st.integers(0, 30))
def test_no_document_is_divided_by_a_split(
    tmp_path_factory: pytest.TempPathFactory, val_size: int, test_size: int
) -> None:
    path = tmp_path_factory.mktemp("names") / "names"
    path.write_text("anna\nbo\nabigail\nelisabeth\n" * 5, encoding="utf-8")
    text = encode_corpus(path=path, documents="line")
    try:
        parts = split_text(text, val_size, test_size)
    except UserError:
        return  # one of the sizes is less than a document
    held = [part for part in parts if part]
    assert [bool(part) for part in parts] == [True, val_size > 0, test_size > 0]
    for part in held:
        assert text.ids[part.start] == text.ids[part.stop - 1] == text.vocabulary.mark_id
    for before, after in itertools.pairwise(held):
        assert before.stop - 1 == after.start
    assert held[-1].stop == len(text.ids)


@pytest.mark.parametrize(
    ("documents", "val_size", "test_size", "told"),
    [
        # A single document, by whatever it could be parted.
        ("file", 0.1, 0, r"val_size=0\.1 holds out no whole document"),
        ("---", 0.5, 0, r"val_size=0\.5 holds out no whole document"),
        # The last name has eleven characters with its mark.
        ("line", 3, 0, "val_size=3 holds out no whole document"),
        ("line", 0, 3, "test_size=3 holds out no whole document"),
        ("line", 4, 9, "test_size=9 holds out no whole document"),
    ],
)
def test_what_is_to_be_held_out_and_has_no_document_is_told(
    tmp_path: Path, documents: str, val_size: float, test_size: int, told: str
) -> None:
    (tmp_path / "names").write_text("anna\nbo\nabigail\nelisabethe\n", encoding="utf-8")
    text = encode_corpus(path=tmp_path / "names", documents=documents)
    with pytest.raises(UserError, match=told):
        split_text(text, val_size, test_size)


def test_documents_that_are_all_empty_are_told(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("\n \n\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"All documents of .*names are empty"):
        encode_corpus(path=tmp_path / "names", documents="line")
