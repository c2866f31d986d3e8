"""Local files: every kind of text and every fault of one, and writing whole or not at all."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import UserError
from charlm.text.files import atomic_writer, iterate_text, read_bytes, read_text

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gb18030", "shift_jis")


def write(folder: Path, content: bytes) -> Path:
    path = folder / "text.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xef\xbb\xbfa\xef\xbb\xbf", "a\ufeff"),  # only the first is a byte order mark
        (b"a\r\nb\rc\nd\r", "a\nb\nc\nd\n"),
        (b"\x00a\x00", "\x00a\x00"),
        ("e\u0301 世 😀\u2028\x85".encode(), "e\u0301 世 😀\u2028\x85"),  # no other line ends
    ],
    ids=["byte order mark", "line ends", "NUL", "Unicode"],
)
def test_text_is_read_as_defined(tmp_path: Path, content: bytes, text: str) -> None:
    path = write(tmp_path, content)
    assert read_text(path) == text
    assert "".join(iterate_text(path, chunk_bytes=1)) == text


@given(st.text(alphabet="a\r\n\0é世", min_size=1), st.sampled_from(ENCODINGS), st.integers(1, 7))
def test_chunks_make_no_difference(
    tmp_path_factory: pytest.TempPathFactory, text: str, encoding: str, chunk_bytes: int
) -> None:
    content = text.encode(encoding, "ignore")
    path = write(tmp_path_factory.mktemp("text"), content)
    expected = content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    if expected:
        assert "".join(iterate_text(path, encoding, chunk_bytes)) == expected


def test_bytes_of_another_encoding_are_told_with_their_offset(tmp_path: Path) -> None:
    path = write(tmp_path, "naïve".encode("latin-1"))
    with pytest.raises(UserError, match=r"not utf-8: byte 0xef at offset 2 .*--data\.encoding"):
        read_text(path)
    assert read_text(path, "latin-1") == "naïve"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_utf_16_without_a_mark_is_not_taken_for_another_encoding(
    tmp_path: Path, encoding: str
) -> None:
    path = write(tmp_path, ("time traveller\n" * 10).encode("utf-16-le"))
    with pytest.raises(UserError, match=r"a quarter of its first characters are NUL.*--data\.enc"):
        read_text(path, encoding)
    assert read_text(path, "utf-16-le").startswith("time traveller\n")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf_16"])
def test_without_a_mark_the_order_of_bytes_is_asked_for(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, "time traveller".encode(f"{encoding}-le".replace("_", "-")))
    with pytest.raises(UserError, match=rf"not {encoding}: .*--data\.encoding"):
        read_text(path, encoding)


@given(st.integers(0, 9), st.integers(1, 5))
def test_the_offset_is_right_wherever_a_chunk_ends(
    tmp_path_factory: pytest.TempPathFactory, num_before: int, chunk_bytes: int
) -> None:
    before = "é".encode() * num_before
    # The beginning of a character of four bytes, and no more of it.
    path = write(tmp_path_factory.mktemp("text"), before + b"\xf0\x9f\x98 end")
    with pytest.raises(UserError, match=f"byte 0xf0 at offset {len(before)} "):
        list(iterate_text(path, chunk_bytes=chunk_bytes))


def test_a_text_cut_off_within_a_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="byte 0xf0 at offset 3 "):
        read_text(write(tmp_path, b"abc\xf0\x9f"))


def test_surrogates_in_utf_8_are_refused(tmp_path: Path) -> None:
    # CESU-8 writes one character as two surrogates of three bytes each: it is not UTF-8.
    with pytest.raises(UserError, match="byte 0xed at offset 1 "):
        read_text(write(tmp_path, b"a\xed\xa0\xbd\xed\xb8\x80"))


@pytest.mark.parametrize("encoding", ["utf-9", "hex", "rot13", "undefined", "a\0b"])
def test_an_unknown_encoding_is_told(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(UserError, match=r"Unknown encoding .*--data\.encoding"):
        read_text(write(tmp_path, b"a"), encoding)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"], ids=["nothing", "byte order mark"])
def test_an_empty_file_is_told(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match=r"text\.txt is empty"):
        read_text(write(tmp_path, content))


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.txt: No such file"):
        read_text(tmp_path / "missing.txt")
    with pytest.raises(UserError, match="is a directory"):
        read_text(tmp_path)
    with pytest.raises(UserError, match="null byte"):
        read_bytes("a\0b")


def test_a_file_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    for content in (b"old", b"new"):
        with atomic_writer(path) as file:
            file.write(content)
        assert path.read_bytes() == content
        assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path, b"old")

    def write_new() -> None:
        with atomic_writer(path) as file:
            file.write(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_new()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_without_space_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    # A limit on the size of files is the lack of space that needs no file system of its own.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with (
            pytest.raises(UserError, match=r"Can't write .*file: File too large"),
            atomic_writer(tmp_path / "file") as file,
        ):
            file.write(bytes(1001))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
