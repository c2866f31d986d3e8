"""A text as ids: in memory and mapped the same, whatever the text; the cache; every fault."""

import copy
import os
import pickle
import resource
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm import encoded
from charlm.corpora import CORPORA, CorpusUnavailable
from charlm.encoded import EncodedText, encode_corpus
from charlm.errors import UserError
from charlm.normalisation import NORMALISATIONS, normalise
from charlm.vocabulary import Vocabulary

MIB = 2**20
TRICKY_TEXT = st.text(alphabet="aB \n\r\t\0é\u0301\u0323世界😀가\u1100\u1161\u11a8", min_size=1)
ALL_KINDS = "The end\r\n of  the world\r\n\r\n世界的末日 e\u0301\u0323 😀\0 가\u1112\u1161\u11ab "


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache in an empty home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home" / ".cache" / "charlm"


@pytest.fixture
def mapped(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as large, and is read in tiny pieces."""
    monkeypatch.setattr(encoded, "LARGE_FILE_BYTES", 1)
    monkeypatch.setattr(encoded, "PIECE_BYTES", 5)


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
        patch.setenv("HOME", str(folder))
        if not normalised:
            with pytest.raises(UserError, match="Nothing is left of"):
                encode_corpus(path=path, normalisation=normalisation)
            return
        in_memory = encode_corpus(path=path, normalisation=normalisation)
        cut = encode_corpus(path=path, normalisation=normalisation, max_chars=max_chars)
        assert in_memory.mapping is None
        patch.setattr(encoded, "LARGE_FILE_BYTES", 1)
        patch.setattr(encoded, "PIECE_BYTES", piece_bytes)
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


# The cache


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
from charlm import encoded

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
        ({"path": "."}, r"\. is a directory"),
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


@pytest.mark.parametrize("later", ["a log that is being written to", "A LOG THAT IS BEING WRITTEN"])
def test_a_file_that_changes_meanwhile_is_told(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    monkeypatch.setattr(encoded, "LARGE_FILE_BYTES", 1)
    path = write(tmp_path, "a log that is being written")
    count = encoded._count

    def count_then_change(*arguments: object) -> object:
        result = count(*arguments)  # type: ignore[arg-type]
        path.write_text(later)
        os.utime(path, (1, 1))  # as if the clock had gone on
        return result

    monkeypatch.setattr(encoded, "_count", count_then_change)
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


# Large files

MEASURE = """
import re, sys, time
from charlm.encoded import encode_corpus
start = time.perf_counter()
text = encode_corpus(path=sys.argv[1], normalisation=sys.argv[2])
seconds = time.perf_counter() - start
# Not getrusage(), whose peak is at least that of the process that started this one.
peak_kib = re.search("VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]
print(len(text.ids), text.digest, peak_kib, seconds)
"""
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads the peak of the memory from Linux's /proc"
)


def encode_elsewhere(path: Path, normalisation: str) -> tuple[int, str, int]:
    """Number of ids, digest and peak resident MiB of a process that encodes the file."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), normalisation],
        capture_output=True,
        text=True,
        check=True,
    )
    length, digest, peak_kib, seconds = run.stdout.split()
    peak = int(peak_kib) // 1024
    speed = path.stat().st_size / 1e6 / float(seconds)
    print(f"{normalisation}: {speed:.0f} MB/s, {peak} MiB at the peak")
    return int(length), digest, peak


@pytest.fixture
def large(tmp_path: Path, cache: Path) -> Iterator[Path]:
    """Where to write a large file; it and what it was encoded to are removed afterwards."""
    yield tmp_path / "large.txt"
    for path in (tmp_path / "large.txt", *cache.iterdir()):
        path.unlink()


def write_large(path: Path, text: str, num_bytes: int) -> int:
    """Write the text again and again; returns how often."""
    content = text.encode()
    repeats = num_bytes // len(content) + 1
    block = content * min(repeats, 16)
    with path.open("wb") as file:
        for _ in range(repeats // 16):
            file.write(block)
        file.write(content * (repeats % 16))
    return repeats


@needs_proc
def test_64_mib_are_encoded_in_little_memory(large: Path) -> None:
    text = "".join(f"Line {number} of the world, 世界, é.\n" for number in range(20_000))
    repeats = write_large(large, text, 64 * MIB)
    assert large.stat().st_size >= 64 * MIB
    length, digest, peak = encode_elsewhere(large, "none")
    assert length == repeats * len(text)
    assert peak < 128  # the file's size, with Python and NumPy half of it
    result = encode_corpus(path=large)
    assert result.digest == digest
    once = result.vocabulary.encode(text)
    for start in (0, len(text), (repeats - 1) * len(text)):
        assert np.array_equal(result.ids[start : start + len(text)], once)


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_1_gib_is_encoded_in_little_memory(large: Path, novel: str, normalisation: str) -> None:
    repeats = write_large(large, novel, 1024 * MIB)
    length, digest, peak = encode_elsewhere(large, normalisation)
    assert length >= repeats * (len(normalise(novel, normalisation)) - 1)
    assert peak < 128
    result = encode_corpus(path=large, normalisation=normalisation)
    assert result.digest == digest
    start = normalise(novel * 2, normalisation)
    assert result.vocabulary.decode(result.ids[: len(start) - 1]) == start[:-1]


FIT = """
import re, sys
from charlm.cli import main
code = main(sys.argv[1:])
print(re.search("VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
sys.exit(code)
"""


@pytest.mark.slow
@needs_proc
def test_1_gib_is_trained_on_in_less_than_800_mib(large: Path, novel: str) -> None:
    write_large(large, novel, 1024 * MIB)
    options = [
        "--data.normalisation=none",
        "--model.cell=rnn",
        "--model.hidden_sizes=[16]",
        "--trainer.max_steps=1000",
        "--trainer.accelerator=cpu",
    ]
    for sampling in ("sequential", "random"):
        arguments = ["fit", f"--data.path={large}", f"--data.sampling={sampling}", *options]
        run = subprocess.run(
            [sys.executable, "-c", FIT, *arguments],
            capture_output=True,
            text=True,
            cwd=large.parent,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        peak = int(run.stdout.split()[-1]) // 1024
        print(f"fit, {sampling}: {peak} MiB at the peak")
        assert peak < 800
