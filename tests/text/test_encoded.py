"""A text as ids: in memory and mapped the same, whatever the text; and what is asked wrongly."""

import copy
import os
import pickle
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import UserError
from charlm.text import encoding as encoded
from charlm.text.corpora import CORPORA, CorpusUnavailable
from charlm.text.encoding import EncodedText, encode_corpus
from charlm.text.normalisation import NORMALISATIONS, normalise
from charlm.text.vocabulary import Vocabulary

TRICKY_TEXT = st.text(alphabet="aB \n\r\t\0é\u0301\u0323世界😀가\u1100\u1161\u11a8", min_size=1)
ALL_KINDS = "The end\r\n of  the world\r\n\r\n世界的末日 e\u0301\u0323 😀\0 가\u1112\u1161\u11ab "


@pytest.fixture
def mapped(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as large, and is read in tiny pieces."""
    monkeypatch.setattr(encoded, "LARGE_FILE_BYTES", 1)
    monkeypatch.setattr(encoded, "PIECE_BYTES", 5)
    monkeypatch.setattr("charlm.text.encoded.PIECE_BYTES", 5)


def write(folder: Path, text: str, name: str = "text.txt", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def same(one: EncodedText, other: EncodedText) -> bool:
    return (
        np.array_equal(one.ids, other.ids)
        and one.ids.dtype == other.ids.dtype
        and one.vocabulary == other.vocabulary
        and one.digest == other.digest
    )


# What is encoded


@pytest.mark.parametrize(
    ("normalisation", "num_characters"), [("book", 170_580), ("letters", 173_428)]
)
def test_the_novel(novel: str, normalisation: str, num_characters: int) -> None:
    text = encode_corpus("time-machine", normalisation=normalisation)
    assert text.name == "time-machine"
    assert text.ids.shape == (num_characters,)
    assert text.ids.dtype == np.uint8
    assert len(text.vocabulary) == 28
    assert text.vocabulary.decode(text.ids) == normalise(novel, normalisation)


def test_max_chars_cuts_the_ids_and_not_the_vocabulary(novel: str) -> None:
    whole = encode_corpus("time-machine", normalisation="book")
    cut = encode_corpus("time-machine", normalisation="book", max_chars=10_000)
    assert np.array_equal(cut.ids, whole.ids[:10_000])
    assert cut.vocabulary == whole.vocabulary
    more = encode_corpus("time-machine", normalisation="book", max_chars=10**9)
    assert same(more, whole)


def test_ids_are_read_only(tmp_path: Path) -> None:
    text = encode_corpus(path=write(tmp_path, "ab"))
    with pytest.raises(ValueError, match="read-only"):
        text.ids[0] = 1


@pytest.mark.parametrize("name", CORPORA)
def test_every_corpus_can_be_encoded(name: str) -> None:
    try:
        text = encode_corpus(name)
    except CorpusUnavailable as unavailable:
        pytest.skip(str(unavailable))
    assert len(text.ids) > 100_000
    assert text.ids.min() == 1  # every character is known


@pytest.mark.posix
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("from a pipe",))
    writer.start()
    text = encode_corpus(path=pipe)
    writer.join()
    assert text.vocabulary.decode(text.ids) == "from a pipe"


# In memory and mapped


@given(TRICKY_TEXT, st.sampled_from(NORMALISATIONS), st.integers(1, 9), st.integers(1, 40))
def test_mapped_or_in_memory_is_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    text: str,
    normalisation: str,
    piece_bytes: int,
    max_chars: int,
) -> None:
    folder = tmp_path_factory.mktemp("home")
    path = write(folder, text)
    normalised = normalise(text.replace("\r\n", "\n").replace("\r", "\n"), normalisation)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "USERPROFILE"):
            patch.setenv(name, str(folder))
        if not normalised:
            with pytest.raises(UserError, match="Nothing is left of"):
                encode_corpus(path=path, normalisation=normalisation)
            return
        in_memory = encode_corpus(path=path, normalisation=normalisation)
        cut = encode_corpus(path=path, normalisation=normalisation, max_chars=max_chars)
        assert in_memory.mapping is None
        patch.setattr(encoded, "LARGE_FILE_BYTES", 1)
        patch.setattr(encoded, "PIECE_BYTES", piece_bytes)
        patch.setattr("charlm.text.encoded.PIECE_BYTES", piece_bytes)
        for _ in ("encoded", "found in the cache"):
            mapped = encode_corpus(path=path, normalisation=normalisation)
            assert mapped.mapping is not None
            assert same(mapped, in_memory)
        assert same(encode_corpus(None, path, normalisation, max_chars), cut)
    expected = Vocabulary.from_counts(Counter(normalised), normalisation)
    assert in_memory.vocabulary == expected
    assert in_memory.vocabulary.decode(in_memory.ids) == normalised
    assert in_memory.vocabulary.decode(cut.ids) == normalised[:max_chars]


@pytest.mark.parametrize("num_symbols", [200, 300, 70_000])
@pytest.mark.usefixtures("mapped")
def test_ids_of_every_size_are_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_symbols: int
) -> None:
    monkeypatch.setattr(encoded, "PIECE_BYTES", 1000)
    text = "".join(map(chr, range(0x20000, 0x20000 + num_symbols))) * 2  # none of them composes
    text = normalise(text.replace("\U0002f800", ""), "none")
    path = write(tmp_path, text)
    result = encode_corpus(path=path)
    assert result.ids.dtype == result.vocabulary.dtype
    assert result.vocabulary.decode(result.ids) == text
    assert result.ids.flags.aligned


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030"])
@pytest.mark.usefixtures("mapped")
def test_a_mapped_file_of_another_encoding(tmp_path: Path, encoding: str) -> None:
    as_utf_8 = encode_corpus(path=write(tmp_path, ALL_KINDS))
    other = write(tmp_path, ALL_KINDS, "other.txt", encoding)
    assert same(encode_corpus(path=other, encoding=encoding), as_utf_8)


@pytest.mark.usefixtures("mapped")
def test_a_mapped_text_goes_to_another_process_by_name(tmp_path: Path) -> None:
    for text in (
        encode_corpus(path=write(tmp_path, ALL_KINDS)),
        encode_corpus(path=write(tmp_path, ALL_KINDS), max_chars=7),
    ):
        for other in (pickle.loads(pickle.dumps(text)), copy.deepcopy(text)):
            assert same(other, text)
            assert other.mapping is not None
        # Its name and its place, not its characters.
        assert text.ids.tobytes() not in pickle.dumps(text)


def test_a_text_in_memory_goes_to_another_process(tmp_path: Path) -> None:
    text = encode_corpus(path=write(tmp_path, ALL_KINDS))
    assert same(pickle.loads(pickle.dumps(text)), text)


@pytest.mark.usefixtures("mapped")
def test_released_ids_stay_valid(tmp_path: Path) -> None:
    text = encode_corpus(path=write(tmp_path, ALL_KINDS))
    before = text.ids.copy()
    text.release()
    assert np.array_equal(text.ids, before)


# The digest


@pytest.mark.parametrize("large", [False, True])
def test_the_digest_tells_what_differs(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr(encoded, "LARGE_FILE_BYTES", 1)

    def digest(text: str, *arguments: object) -> str:
        return encode_corpus(None, write(tmp_path, text), *arguments).digest  # type: ignore[arg-type]

    reference = digest("aab abba")
    assert digest("aab abba") == reference
    others = {
        digest("aab abab"),  # other ids, the same vocabulary
        digest("bba baab"),  # the same ids, another vocabulary
        digest("aab abba", "letters"),  # another normalisation
        digest("aab abba", "none", 7),  # fewer ids
    }
    assert len(others | {reference}) == 5
    # What is cut off counts by its vocabulary only.
    assert digest("aab abba", "none", 3) == digest("aab baba", "none", 3)
    assert digest("aab abba", "none", 3) != digest("aab abbc", "none", 3)


# Faults


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either a corpus .* or a file"),
        ({"corpus": "time-machine", "path": "a.txt"}, "either a corpus .* or a file"),
        ({"corpus": "python-docs", "max_chars": 0}, "max_chars is 0: it must be at least 1"),
        ({"corpus": "python-docs", "normalisation": "bok"}, "Unknown normalisation 'bok'"),
        ({"corpus": "bible"}, "Unknown corpus 'bible'"),
        ({"path": "missing.txt"}, r"Can't read missing\.txt: No such file"),
        ({"path": "missing-*"}, r"No file matches missing-\*"),
        ({"path": []}, "list of files is empty"),
    ],
)
def test_what_is_asked_wrongly_is_told(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        encode_corpus(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("large", [False, True])
def test_what_is_wrong_with_a_file_is_told(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr(encoded, "LARGE_FILE_BYTES", 0)
        monkeypatch.setattr(encoded, "PIECE_BYTES", 3)
    for text, normalisation, encoding, message in (
        ("", "none", "utf-8", "is empty"),
        ("世界", "book", "utf-8", "Nothing is left of .* after the normalisation 'book'"),
        ("naïve", "none", "ascii", "is not ascii: byte 0xc3 at offset 2"),
        ("naïve", "none", "utf-9", "Unknown encoding 'utf-9'"),
    ):
        with pytest.raises(UserError, match=message):
            encode_corpus(None, write(tmp_path, text), normalisation, None, encoding)
    assert not cache.exists() or not list(cache.iterdir())
