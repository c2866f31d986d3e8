"""The encoded texts on disk: found again, shared by processes, never half-written."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from charlm.errors import UserError
from charlm.text import encoding as encoded
from charlm.text.encoding import encode_corpus

MIB = 2**20
ALL_KINDS = "The end\r\n of  the world\r\n\r\n世界的末日 e\u0301\u0323 😀\0 가\u1112\u1161\u11ab "


@pytest.fixture
def mapped(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as large, and is read in tiny pieces."""
    monkeypatch.setattr(encoded, "LARGE_FILE_BYTES", 1)
    monkeypatch.setattr(encoded, "PIECE_BYTES", 5)


def write(folder: Path, text: str, name: str = "text.txt", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.usefixtures("mapped")
def test_the_cache_goes_by_content(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, ALL_KINDS)
    encode_corpus(path=path)
    assert "Encoding" in capsys.readouterr().err
    (first,) = cache.iterdir()
    modified = first.stat().st_mtime_ns

    renamed = path.rename(tmp_path / "renamed.txt")
    assert encode_corpus(path=renamed).name == str(renamed)
    encode_corpus(path=renamed, max_chars=3)
    assert capsys.readouterr().err == ""
    assert [(p, p.stat().st_mtime_ns) for p in cache.iterdir()] == [(first, modified)]

    encode_corpus(path=renamed, normalisation="book")
    encode_corpus(path=renamed, encoding="latin-1")
    encode_corpus(path=write(tmp_path, ALL_KINDS + "."))
    assert len(list(cache.iterdir())) == 4


@pytest.mark.parametrize("damage", ["cut off", "longer", "empty", "garbage", "another header"])
@pytest.mark.usefixtures("mapped")
def test_a_damaged_cache_is_encoded_anew(tmp_path: Path, cache: Path, damage: str) -> None:
    path = write(tmp_path, ALL_KINDS)
    expected = encode_corpus(path=path).ids.copy()
    (file,) = cache.iterdir()
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(
        {
            "cut off": content[:-1],
            "longer": content + b"\0",
            "empty": b"",
            "garbage": b"\xff\0" * 100,
            "another header": b"[]\n" + content,
        }[damage]
    )
    assert np.array_equal(encode_corpus(path=path).ids, expected)
    assert file.read_bytes() == content


@pytest.mark.usefixtures("mapped")
def test_where_the_cache_cannot_be_written_the_data_directory_is_used(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, ALL_KINDS)
    cache.parent.mkdir(parents=True)
    cache.touch()  # a file: no folder can be made there
    monkeypatch.delenv("CHARLM_DATA", raising=False)
    with pytest.raises(UserError, match=r"Can't write to .* CHARLM_DATA"):
        encode_corpus(path=path)
    monkeypatch.setenv("CHARLM_DATA", str(tmp_path / "data"))
    encode_corpus(path=path)
    assert len(list((tmp_path / "data").iterdir())) == 1


ENCODE = """
import contextlib, sys
from charlm.text import encoding as encoded

@contextlib.contextmanager
def slow_writer(path, write=encoded.atomic_writer):
    with write(path) as file:
        print("writing", flush=True)
        sys.stdin.readline()
        yield file

encoded.LARGE_FILE_BYTES = 1
encoded.atomic_writer = slow_writer
print(encoded.encode_corpus(path=sys.argv[1]).digest)
"""


def start_encoding(path: Path) -> subprocess.Popen[str]:
    """A process that stops in the midst of encoding until it is sent a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENCODE, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_two_processes_at_once_both_encode(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path, ALL_KINDS * 1000)
    expected = encode_corpus(path=path).digest
    processes = [start_encoding(path) for _ in range(2)]  # each has found nothing in the cache
    for process in processes:
        out, err = process.communicate("\n", timeout=60)
        assert (process.returncode, out.strip()) == (0, expected), err
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("later", ["a log that is being written to", "A LOG THAT IS BEING WRITTEN"])
def test_a_file_that_changes_meanwhile_is_told(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    monkeypatch.setattr(encoded, "LARGE_FILE_BYTES", 1)
    path = write(tmp_path, "a log that is being written")
    count = encoded.Encoder.count

    def count_then_change(*arguments: object) -> object:
        result = count(*arguments)  # type: ignore[arg-type]
        path.write_text(later, encoding="utf-8")
        os.utime(path, (1, 1))  # as if the clock had gone on
        return result

    monkeypatch.setattr(encoded.Encoder, "count", count_then_change)
    with pytest.raises(UserError, match="has changed while it was being encoded"):
        encode_corpus(path=path)
    assert not list(cache.iterdir())


def test_no_space_is_told_before_anything_is_written(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoded, "LARGE_FILE_BYTES", 1)
    usage = encoded.shutil.disk_usage(tmp_path)._replace(free=3 * MIB)
    monkeypatch.setattr(encoded.shutil, "disk_usage", lambda path: usage)
    path = write(tmp_path, "a" * 5 * MIB)
    with pytest.raises(UserError, match=r"takes 5 MiB once encoded, and .*charlm has 3 MiB left"):
        encode_corpus(path=path)
    assert not list(cache.iterdir())


def test_space_that_runs_out_meanwhile_is_told_and_leaves_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoded, "LARGE_FILE_BYTES", 1)
    path = write(tmp_path, "a" * MIB)
    resource = pytest.importorskip("resource")
    # A limit on the size of files is the lack of space that needs no file system of its own.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB // 2, limits[1]))
    try:
        with pytest.raises(UserError, match=r"Can't write .*\.ids: File too large"):
            encode_corpus(path=path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(cache.iterdir())


def test_what_a_killed_process_left_is_removed_a_day_later(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "a" * MIB)
    for _ in range(2):
        process = start_encoding(path)
        process.kill()
        process.communicate(timeout=60)
    abandoned, fresh = cache.iterdir()
    os.utime(abandoned, (0, 0))
    monkeypatch.setattr(encoded, "LARGE_FILE_BYTES", 1)
    encode_corpus(path=path)
    left = [file for file in cache.iterdir() if file.suffix == ".part"]
    assert left == [fresh]  # for all we know, another process is writing it
