"""The prefixes that nobody gave: from the text, of characters that its vocabulary has."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.encoding import encode_corpus
from charlm.text.normalisation import NORMALISATIONS, normalise
from charlm.text.prefixes import LENGTH, OF_THE_BOOK, default_prefixes, knows


def test_the_books_own_text_has_the_books_prefixes(novel: str) -> None:
    assert default_prefixes(encode_corpus("time-machine", normalisation="book")) == OF_THE_BOOK
    # So few characters that a letter of them lacks: of the vocabulary none does.
    cut = encode_corpus("time-machine", normalisation="none", max_chars=40)
    assert default_prefixes(cut) == OF_THE_BOOK


@pytest.mark.parametrize(
    ("text", "prefixes"),
    [
        ("Il était une fois un roi qui avait trois fils.", ("Il était une fois un", "qui avait trois")),
        ("床前明月光，疑是地上霜。\n举头望明月，低头思故乡。", ("床前明月光，疑是地上霜。", "举头望明月，低头思故乡。")),
        ("anna\nelisabeth\nabigail\n", ("anna", "abigail")),
        ("aaaaaaaa", ("aaaaaaaa", "aaaa")),
        ("\n \n", ("\n",)),
        ("😀", ("😀",)),
    ],
)  # fmt: skip
def test_passages_of_the_text(tmp_path: Path, text: str, prefixes: tuple[str, ...]) -> None:
    (tmp_path / "my.txt").write_text(text, encoding="utf-8")
    assert default_prefixes(encode_corpus(path=tmp_path / "my.txt")) == prefixes


@given(st.text(alphabet="aB \n\t.é世\u0301", min_size=1), st.sampled_from(NORMALISATIONS))
def test_a_prefix_can_always_be_continued(
    tmp_path_factory: pytest.TempPathFactory, text: str, normalisation: str
) -> None:
    path = tmp_path_factory.mktemp("text") / "my.txt"
    path.write_text(text, encoding="utf-8", newline="")
    if not normalise(text.replace("\r", "\n"), normalisation).strip(" "):
        return
    encoded = encode_corpus(path=path, normalisation=normalisation)
    prefixes = default_prefixes(encoded)
    assert prefixes
    for prefix in prefixes:
        assert 0 < len(prefix) <= LENGTH
        assert encoded.vocabulary.normalise(prefix)
        assert knows(encoded.vocabulary, [encoded.vocabulary.normalise(prefix)])
