"""``charlm generate`` as a user runs it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.running import charlm

import charlm as package

COMMAND = [sys.executable, "-m", "charlm", "generate"]


def test_the_text_and_nothing_else_is_printed(checkpoint: Path) -> None:
    outcome = charlm("generate", "--checkpoint", checkpoint, "--num_chars", 30)
    model, vocabulary = package.load(checkpoint)
    assert outcome.out == package.generate(model, vocabulary, "time traveller", 30) + "\n"
    assert (outcome.code, outcome.err) == (0, "")


def test_streaming_changes_nothing_but_the_time(checkpoint: Path) -> None:
    options = ("--checkpoint", checkpoint, "--temperature", 0.8, "--seed", 1)
    plain = charlm("generate", *options)
    assert plain == charlm("generate", *options, "--stream")
    assert plain == charlm("generate", *options)
    whole = plain.out.removesuffix("\n")
    stopped = charlm("generate", *options, "--stop", whole[30:33]).out.removesuffix("\n")
    assert whole.startswith(stopped)
    assert stopped.endswith(whole[30:33])


def test_several_prefixes_and_samples(checkpoint: Path, tmp_path: Path) -> None:
    options = ("generate", "--checkpoint", checkpoint, "--temperature", 1)
    many = ("--num_samples", 2, "--seed", 5)
    texts = charlm(*options, *many, "--prefix", "time", "--prefix", "the m").out.splitlines()
    alone = [
        charlm(*options, "--seed", 5 + i, "--prefix", prefix).out
        for i, prefix in enumerate(("time", "time", "the m", "the m"))
    ]
    assert [text + "\n" for text in texts] == alone
    (tmp_path / "prefixes").write_text("time\nthe m\n", encoding="utf-8")
    outcome = charlm(*options, *many, "--prefix_file", tmp_path / "prefixes", "--json")
    assert [json.loads(line) for line in outcome.out.splitlines()] == texts


@pytest.mark.parametrize("weights", ["float16", "bfloat16", "int8"])
def test_short_weights_whatever_is_asked_for(checkpoint: Path, weights: str) -> None:
    options = ("generate", "--checkpoint", checkpoint, "--weights", weights)
    alone = charlm(*options).out
    assert alone == charlm(*options, "--stream").out == charlm(*options, "--num_beams", 1).out
    model, vocabulary = package.load(checkpoint)
    assert alone == package.generate(model, vocabulary, "time traveller", weights=weights) + "\n"


def test_beams_from_the_command_line(checkpoint: Path) -> None:
    outcome = charlm("generate", "--checkpoint", checkpoint, "--num_beams", 3, "--num_chars", 9)
    model, vocabulary = package.load(checkpoint)
    found = package.generate(model, vocabulary, "time traveller", 9, num_beams=3)
    assert outcome.out == found + "\n"


def test_without_a_checkpoint_the_newest_is_taken_and_named(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoint.parents[3])
    outcome = charlm("generate", "--num_chars", 5)
    assert outcome.code == 0
    assert outcome.err.startswith("charlm: lightning_logs/version_0/checkpoints/")
    assert outcome.out.startswith("time traveller")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--prefix", ""], "is empty"),
        (["--prefix", "12"], "is empty"),
        (["--checkpoint", "nowhere.ckpt"], "There is no checkpoint at nowhere.ckpt"),
        (["--device", "warp"], "The device 'warp' can't be used"),
        (["--top_k", "3"], "give a temperature"),
        (["--temperature", "1", "--power", "2"], "leave one of them out"),
        (["--num_samples", "2"], "would be the same text"),
        (["--num_beams", "2", "--temperature", "1"], "Beam search"),
        (["--interactive", "--num_beams", "2"], "interactive session"),
        (["--stream", "--num_beams", "2"], "streamed of one text"),
        (["--prefix", "a", "--prefix_file", "x"], "leave out one of them"),
        (["--prefix_file", "nowhere"], "nowhere: No such file"),
        (["--stop", "é"], "'é'"),
        (["--num_chars", "-2"], "num_chars is -2"),
        (
            ["--weights", "int3"],
            "Unknown weights 'int3': choose one of float32, float16, bfloat16, int8",
        ),
    ],
)
def test_a_mistake_is_told_in_one_sentence(checkpoint: Path, options: list[str], told: str) -> None:
    outcome = charlm("generate", "--checkpoint", checkpoint, *options)
    assert outcome.code == 1
    assert told in outcome.err
    assert outcome.err.startswith("charlm: ")
    assert len(outcome.err.splitlines()) == 1
    assert outcome.out == ""


# What `charlm generate` imports beside what `import torch` does: with little, it is ready in 1.2 × its
# time (`make bench` measures it).
FEW = {"charlm", "jsonargparse", "docstring_parser", "typeshed_client", "attr", "attrs", "yaml"}
FEW |= {"safetensors"}


def test_little_is_imported_and_a_broken_pipe_is_quiet(checkpoint: Path) -> None:
    code = (
        "import sys, torch; tops = lambda: {name.split('.')[0] for name in sys.modules};"
        "before = tops(); from charlm.cli import main; code = main(sys.argv[1:]);"
        f"more = tops() - before - sys.stdlib_module_names - {FEW};"
        "assert 'charlm' in tops() and not {name for name in more if 'cython' not in name}, more;"
        "sys.exit(code)"
    )
    options = ["generate", "--checkpoint", str(checkpoint), "--num_chars", "1000000", "--stream"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(20).startswith(b"time traveller")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 128 + signal.SIGPIPE


def test_a_piped_conversation_goes_on_from_line_to_line(checkpoint: Path) -> None:
    outcome = subprocess.run(
        [*COMMAND, "--checkpoint", str(checkpoint), "--interactive", "--num_chars", "12"],
        input="The time\n\ntraveller\n",
        capture_output=True,
        text=True,
        check=True,
    )
    model, vocabulary = package.load(checkpoint)
    first = package.generate(model, vocabulary, "the time", 24)[8:]
    whole = "the time" + first + "traveller"
    third = package.generate(model, vocabulary, whole, 12)[len(whole) :]
    assert outcome.stdout.splitlines() == [first[:12], first[12:], third]


def test_ctrl_c_ends_the_line_and_ctrl_d_the_session(checkpoint: Path) -> None:
    pty = pytest.importorskip("pty")
    process_id, terminal = pty.fork()
    if process_id == 0:
        options = ["--checkpoint", str(checkpoint), "--interactive", "--num_chars", "100000000"]
        os.execv(sys.executable, [*COMMAND, *options])

    def read_until(wanted: bytes) -> bytes:
        seen = b""
        while wanted not in seen:
            seen += os.read(terminal, 4096)
        return seen

    try:
        read_until(b"> ")
        os.write(terminal, b"time\n")
        read_until(b" the")
        os.write(terminal, b"\x03")
        assert b"Traceback" not in read_until(b"\n> ")
        os.write(terminal, b"\x04")
        assert os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1]) == 0
        process_id = 0
    finally:
        os.close(terminal)
        if process_id:
            os.kill(process_id, signal.SIGKILL)
            os.waitpid(process_id, 0)
