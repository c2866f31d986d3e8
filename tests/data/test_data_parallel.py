"""Two processes train as one: the same weights, the same metrics, and each resumes the other."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.processes import in_processes
from helpers.resuming import Run, assert_same, differences
from helpers.running import CONFIGS, charlm, small_data
from lightning.pytorch.callbacks import Callback

from charlm.checkpoint import read
from charlm.errors import UserError
from charlm.text import encoding as encoded

pytestmark = [
    pytest.mark.usefixtures("novel"),
    # Each child runs Python alone: of threads of the parent it needs none.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

TEXT = {"max_chars": 1500, "num_lanes": 4, "num_steps": 25, "val_size": 101, "val_num_steps": 20}
MODEL = {
    "hidden_sizes": [8, 8],
    "optimizer": "torch.optim.Adam",
    "learning_rate": 0.01,
}
STEPS = 50


def codes(num_processes: int, work: Callable[[], Any]) -> list[int]:
    """The exit codes of so many processes that do the work."""
    return [ended.code for ended in in_processes(num_processes, work)]


def train(run: Run, num_processes: int, **options: Any) -> Run:
    """``run.go``, in so many processes; what they have seen is kept by the run in this one."""
    devices = {"devices": num_processes} | ({"strategy": "ddp"} if num_processes > 1 else {})

    def work() -> None:
        run.batches, run.metrics = {}, {}
        run.go(**devices, **options)
        rank = os.environ["LOCAL_RANK"]
        torch.save((run.result, run.metrics, run.batches), run.folder / f"result-{rank}")

    assert codes(num_processes, work) == [0] * num_processes
    results = [
        torch.load(run.folder / f"result-{rank}", weights_only=False)
        for rank in range(num_processes)
    ]
    run.result, metrics, _ = results[0]
    run.metrics |= metrics
    lanes = [batches for _, _, batches in results]
    run.batches |= {step: torch.cat([own[step] for own in lanes], dim=1) for step in lanes[0]}
    # The processes have the same weights.
    for result, *_ in results[1:]:
        assert not differences(result["weights"], run.result["weights"])
    return run


def run_in(folder: Path, sampling: str = "sequential", **module: Any) -> Run:
    limits = {"max_steps": STEPS, "max_epochs": -1}
    return Run(folder, TEXT | {"sampling": sampling}, MODEL | module, limits)


def assert_close(ours: Run, theirs: Run) -> None:
    for name, weight in ours.result["weights"].items():
        torch.testing.assert_close(weight, theirs.result["weights"][name], atol=1e-6, rtol=0.0)
    assert not differences(ours.batches, theirs.batches)
    assert ours.metrics.keys() == theirs.metrics.keys()
    for (name, step), value in ours.metrics.items():
        assert value == pytest.approx(theirs.metrics[name, step], rel=1e-4), (name, step)


@pytest.mark.parametrize("sampling", ["sequential", "random"])
@pytest.mark.parametrize("val_num_lanes", [1, 3])
def test_two_processes_train_as_one(tmp_path: Path, sampling: str, val_num_lanes: int) -> None:
    one, two = run_in(tmp_path / "one", sampling), run_in(tmp_path / "two", sampling)
    for run in (one, two):
        run.data |= {"val_num_lanes": val_num_lanes}
    train(one, 1)
    train(two, 2)
    assert len(two.batches) == STEPS
    assert any(name == "val/loss" for name, _ in two.metrics)
    assert_close(two, one)


def test_two_processes_resume_with_the_same_bits(tmp_path: Path) -> None:
    alone = train(run_in(tmp_path / "alone", dropout=0.3), 2)
    run = train(run_in(tmp_path / "run", dropout=0.3), 2, max_steps=17)
    train(run, 2, resume=True)
    run.metrics = {key: run.metrics[key] for key in alone.metrics}
    assert_same(run, alone)


def test_the_processes_drop_out_different_units(tmp_path: Path) -> None:
    drawn = []

    def work() -> None:
        run = run_in(tmp_path / "run", dropout=0.3).go(max_steps=3, devices=2, strategy="ddp")
        torch.save(run.result["random"], run.folder / os.environ["LOCAL_RANK"])

    assert codes(2, work) == [0, 0]
    drawn = [torch.load(tmp_path / "run" / rank) for rank in "01"]
    assert not torch.equal(*drawn)


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_as_many_processes_as_there_are_go_on(tmp_path: Path, first: int, then: int) -> None:
    alone = train(run_in(tmp_path / "alone"), 1)
    run = train(run_in(tmp_path / "run"), first, max_steps=17)
    train(run, then, resume=True)
    run.metrics = {key: run.metrics[key] for key in alone.metrics}
    assert_close(run, alone)


@pytest.mark.posix
def test_the_command_starts_and_stops_all_processes(tmp_path: Path) -> None:
    """As a user does: two processes, of which only the first gets the signal."""
    command = [sys.executable, "-m", "charlm", "fit", "--config", str(CONFIGS / "debug.yaml")]
    options = ["--model.hidden_sizes=[8]", "--trainer.max_epochs", "-1"]
    parallel = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    root = ["--trainer.default_root_dir", str(tmp_path), "--checkpoint.every_n_train_steps", "1"]
    process = subprocess.Popen(
        [*command, *options, *parallel, *root], stderr=subprocess.PIPE, text=True
    )
    last = tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
    while not last.exists() and process.poll() is None:
        time.sleep(0.01)
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, told
    assert told.count("go on with: charlm fit --ckpt_path") == 1, told
    assert "Traceback" not in told
    assert [path.name for path in last.parents[2].iterdir()] == ["version_0"]
    content = read(last)
    assert len(content["charlm"]["processes"]) == 2
    steps = content["global_step"] + 2
    limit = ("--trainer.max_steps", steps, "--trainer.max_epochs", -1)
    assert charlm("fit", "--ckpt_path", last, *limit).code == 0
    assert read(last)["global_step"] == steps


def test_lanes_that_cannot_be_divided_are_told_in_one_sentence(tmp_path: Path) -> None:
    outcome = charlm(
        *("fit", "--data.max_chars", 2000, "--data.num_lanes", 5, "--model.hidden_sizes=[8]"),
        *("--trainer.devices", 2, "--trainer.strategy", "ddp"),
        *("--trainer.default_root_dir", tmp_path),
    )
    assert outcome.code == 1
    assert outcome.err.startswith("charlm: 5 lanes can't be divided equally among 2 processes")
    assert len(outcome.err.splitlines()) == 1


class FailingOnOne(Callback):
    """Raises in one process alone."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_before_backward(self, trainer: Any, *args: Any) -> None:
        if trainer.global_rank == self.rank and trainer.global_step == 5:
            raise UserError("only here")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_that_fails_ends_the_others(tmp_path: Path, rank: int) -> None:
    run = run_in(tmp_path)
    run.every_n_train_steps = 1

    def work() -> None:
        run.go(FailingOnOne(rank), devices=2, strategy="ddp")

    assert codes(2, work) == [1, 1]
    assert read(run.last)["global_step"] == 5


def test_one_process_encodes_and_the_other_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    calls = tmp_path / "calls"

    def encode_corpus(*arguments: Any, **options: Any) -> Any:
        for line in ("begun\n", "done\n"):
            with calls.open("a", encoding="utf-8") as file:
                file.write(line)
            time.sleep(0.2)
        return encoded.encode_corpus(*arguments, **options)

    monkeypatch.setattr("charlm.data.reading.encode_corpus", encode_corpus)
    assert codes(2, lambda: small_data().text) == [0, 0]
    assert calls.read_text(encoding="utf-8").split() == ["begun", "done"] * 2
