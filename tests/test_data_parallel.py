"""Two processes train as one: the same weights, the same metrics, and each resumes the other."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from resuming import Run, assert_same, differences, in_a_process
from running import charlm

from charlm.errors import UserError

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


def in_processes(num_processes: int, work: Callable[[], Any]) -> list[int]:
    """Do the work in so many processes, as torchrun starts them; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [
        in_a_process(
            work,
            LOCAL_RANK=rank,
            NODE_RANK=0,
            WORLD_SIZE=num_processes,
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in range(num_processes)
    ]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def train(run: Run, num_processes: int, **options: Any) -> Run:
    """``run.go``, in so many processes; what they have seen is kept by the run in this one."""
    devices = {"devices": num_processes} | ({"strategy": "ddp"} if num_processes > 1 else {})

    def work() -> None:
        run.batches, run.metrics = {}, {}
        run.go(**devices, **options)
        rank = os.environ["LOCAL_RANK"]
        torch.save((run.result, run.metrics, run.batches), run.folder / f"result-{rank}")

    assert in_processes(num_processes, work) == [0] * num_processes
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

    assert in_processes(2, work) == [0, 0]
    drawn = [torch.load(tmp_path / "run" / rank) for rank in "01"]
    assert not torch.equal(*drawn)


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_as_many_processes_as_there_are_go_on(tmp_path: Path, first: int, then: int) -> None:
    alone = train(run_in(tmp_path / "alone"), 1)
    run = train(run_in(tmp_path / "run"), first, max_steps=17)
    train(run, then, resume=True)
    run.metrics = {key: run.metrics[key] for key in alone.metrics}
    assert_close(run, alone)


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
    def work() -> None:
        run_in(tmp_path).go(FailingOnOne(rank), devices=2, strategy="ddp")

    assert in_processes(2, work) == [1, 1]
