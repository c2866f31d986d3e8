"""Large files: encoded and trained on in little memory."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from charlm.text.encoding import encode_corpus
from charlm.text.normalisation import NORMALISATIONS, normalise

MIB = 2**20

MEASURE = """
import re, sys, time
from charlm.text.encoding import encode_corpus
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
