"""From scratch against library: milliseconds of an iteration, and where they go."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from charlm.model import CharLM
from charlm.recurrence import fastest
from scripts.benchmarks import contestants
from scripts.benchmarks.timing import Step, interleave

# What an operator counts as: the first of these that its name has a part of.
KINDS = (
    ("matrix products", ("mm", "matmul", "linear", "lstm", "gru", "rnn", "mkldnn")),
    ("activations", ("tanh", "sigmoid", "relu", "softmax", "nll")),
    (
        "copies",
        ("copy", "cat", "stack", "one_hot", "scatter", "clone", "zero", "fill", "index", "unbind",
         "embedding", "_to", "empty", "contiguous"),
    ),
)  # fmt: skip
OTHER = "other arithmetic"
OVERHEAD = "between operators"
ITERATIONS = 8  # that are profiled


def contest(
    runs: list[dict[str, Any]], sizes: list[int], rounds: int, seconds: float
) -> dict[str, Any]:
    """Every way to do one iteration, in turn, on one thread.

    Returns:
        ``ways``: by cell and size, the median milliseconds of each way; ``auto``, which of ours is
        taken; ``shares``: by cell and way (the book's and torch.nn's), where its time goes.
    """
    result: dict[str, Any] = {"ways": {}, "auto": {}, "shares": {}}
    for name in ("rnn", "gru", "lstm"):
        for size in sizes:
            makers = contestants.contestants(name, size, "cpu")
            steps = {way: make() for way, make in makers.items()}
            timed = interleave(steps, rounds, seconds, "cpu")
            medians = {way: 1e3 * each.median for way, each in timed.items()}
            result["ways"][f"{name} {size}"] = medians
            model = CharLM(contestants.V, hidden_sizes=[size], cell=name)
            result["auto"][f"{name} {size}"] = fastest(model.cells[0], torch.device("cpu"))
            if size == sizes[0]:
                for way in ("book", "torch"):
                    result["shares"][f"{name} {way}"] = shares(steps[way], medians[way] / 1e3)
    return result


def shares(step: Step, wall: float) -> dict[str, float]:
    """The parts of an iteration's time that its operators take, by kind, and the rest: Python, the
    graph's bookkeeping, the calls.

    Args:
        wall: an iteration's seconds without the profiler.
    """
    with quiet(), profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(ITERATIONS):
            step()
    events = [event for event in profiled.key_averages() if event.key.startswith("aten::")]
    seconds = dict.fromkeys([kind for kind, _ in KINDS] + [OTHER], 0.0)
    for event in events:
        seconds[kind_of(event.key)] += event.self_cpu_time_total / 1e6 / ITERATIONS
    # The profiler itself takes time with every call: what it saw is scaled to no more than all.
    scale = min(1.0, wall / max(sum(seconds.values()), 1e-12))
    result = {kind: value * scale / wall for kind, value in seconds.items()}
    calls = sum(event.count for event in events) / ITERATIONS
    return result | {OVERHEAD: max(0.0, 1 - sum(result.values())), "calls": calls}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what the profiler's library writes on standard error, past Python."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def kind_of(operator: str) -> str:
    name = operator.removeprefix("aten::")
    return next((kind for kind, parts in KINDS if any(part in name for part in parts)), OTHER)
