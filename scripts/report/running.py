"""Do one task in whatever process: train as ``charlm fit`` does, and read the run's ``metrics.csv``."""

import contextlib
import importlib
import itertools
import os
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from charlm.errors import UserError

# At most so many points of a curve are kept.
MAX_POINTS = 120
# Of the epochs at a run's end, whose median stands for its perplexity: a single epoch may spike.
LAST_EPOCHS = 10
# An epoch's loss blows up if it is so many nats above the lowest before it.
BLOW_UP_NATS = 1.0
# The bound of clipping by value in these experiments.
VALUE = 0.05
DIVERGED = ("The loss is", "The weights aren't finite")


def perform(root: str, kind: str, *arguments: Any) -> dict[str, Any]:
    """Do a task, as it says of itself; on one thread, wherever it is.

    Args:
        root: the folder from which its paths are seen.
        kind: ``train`` or ``measure``.
    """
    import torch

    os.chdir(root)
    torch.set_num_threads(1)
    return train(*arguments) if kind == "train" else measure(*arguments)


def measure(function: str, runs: list[dict[str, Any]], arguments: dict[str, Any]) -> dict[str, Any]:
    """Call ``scripts.report.measures.speed.contest`` and the like by name."""
    module, _, name = function.rpartition(".")
    result: dict[str, Any] = getattr(importlib.import_module(module), name)(runs, **arguments)
    return result


def train(arguments: list[str], folder: str, identity: str) -> dict[str, Any]:
    """``charlm fit``, and what its log says.

    Args:
        identity: of the run's settings and code: it goes on where one of the same identity was
            stopped or killed, and another's files in the folder are removed.

    Returns:
        See ``read_log``; with ``stopped``, the sentence that a run whose loss or weights became
        infinite ended with, else None.
    """
    from charlm.training.command_line import run

    mark = Path(folder, "identity")
    if not mark.is_file() or mark.read_text(encoding="utf-8") != identity:
        shutil.rmtree(folder, ignore_errors=True)
        mark.parent.mkdir(parents=True)
        mark.write_text(identity, encoding="utf-8")
    begun = [path / "checkpoints" / "last.ckpt" for path in versions(folder)]
    resumed = [f"--ckpt_path={path}" for path in begun[-1:] if path.is_file()]
    stopped = None
    try:
        with (
            open(os.devnull, "w", encoding="utf-8") as nowhere,
            contextlib.redirect_stderr(nowhere),
        ):
            run([*arguments, "--trainer.enable_progress_bar=false", *resumed])
    except UserError as error:
        if not str(error).startswith(DIVERGED):
            raise
        stopped = str(error)
    log = versions(folder)[-1]
    return read_log(log) | {"stopped": stopped, "log": str(log)}


def versions(folder: str) -> list[Path]:
    """The runs' folders, oldest first."""
    found = Path(folder).glob("lightning_logs/version_*")
    return sorted(found, key=lambda version: int(version.name.partition("_")[2]))


def read_log(folder: Path) -> dict[str, Any]:
    """The figures of a run from its ``metrics.csv``.

    Returns:
        ``perplexity``: the median over the last epochs; ``curve``, ``peaks``, ``held_out``,
        ``norms``: [epoch, value] in order, of the training perplexity, of its highest in between, the held-out bits per character and
        the gradient's norm before clipping; ``clipped``: the share of the steps looked at whose
        norm was above 1; ``clipped_by_value``: whose largest entry was above ``VALUE`` (only
        where that is logged); ``blow_ups``: the epochs whose loss was a nat or more above the lowest
        before; ``setback``: the most that an epoch's loss was above the lowest before, in nats;
        ``characters_per_second``: the median over epochs; ``checkpoint``: its path.
    """
    from charlm.training.metrics_file import read_curves

    # A run that ended in its first steps has logged nothing.
    curves = read_curves(folder) if (folder / "metrics.csv").is_file() else {}

    def scalars(name: str) -> list[tuple[int, float]]:
        return list(zip(*curves.get(name, ([], [])), strict=True))

    epochs = scalars("train/loss")
    # The step that a metric was logged at, as an epoch: all epochs are equally long.
    steps_per_epoch = (epochs[0][0] + 1) if epochs else 1
    losses = [loss for _, loss in epochs]

    def by_epoch(tag: str, digits: int = 4) -> list[list[float]]:
        points = [((step + 1) / steps_per_epoch, value) for step, value in scalars(tag)]
        return [[significant(x, 5), significant(y, digits)] for x, y in thin(points)]

    norms = [value for _, value in scalars("train/grad_norm")]
    largest = [value for _, value in scalars("train/grad_max")]
    speeds = [value for _, value in scalars("throughput/characters_per_second")]
    perplexities = [value for _, value in scalars("train/perplexity")]
    checkpoint = folder / "checkpoints" / "last.ckpt"
    return {
        "perplexity": statistics.median(perplexities[-LAST_EPOCHS:]) if perplexities else None,
        "epochs": len(losses),
        "curve": by_epoch("train/perplexity"),
        "held_out": by_epoch("val/bits_per_character"),
        "peaks": peaks(perplexities),
        "norms": by_epoch("train/grad_norm", 3),
        "clipped": share(norm > 1 for norm in norms),
        "clipped_by_value": share(value > VALUE for value in largest),
        "num_norms": len(norms),
        "blow_ups": blow_ups(losses),
        "setback": setback(losses),
        "characters_per_second": statistics.median(speeds) if speeds else None,
        "checkpoint": str(checkpoint) if checkpoint.is_file() else None,
    }


def peaks(values: Sequence[float], most: int = 40) -> list[list[float]]:
    """[epoch, value] of the highest of each stretch, so that no spike falls between two points."""
    stretches = min(most, len(values))
    bounds = (
        [number * len(values) // stretches for number in range(stretches + 1)] if values else []
    )
    return [
        [end, significant(max(values[start:end]), 4)] for start, end in itertools.pairwise(bounds)
    ]


def blow_ups(losses: Sequence[float]) -> list[int]:
    """The epochs, counted from 1, in which training had lost a nat or more of what it had."""
    lowest = float("inf")
    epochs = []
    for epoch, loss in enumerate(losses, start=1):
        if not loss < lowest + BLOW_UP_NATS:
            epochs.append(epoch)
        lowest = min(lowest, loss)
    return epochs


def setback(losses: Sequence[float]) -> float:
    """The most nats by which an epoch's loss was above the lowest before it."""
    lowest = itertools.accumulate(losses, min)
    return significant(max((b - a for a, b in zip(lowest, losses, strict=True)), default=0.0), 3)


def share(flags: Any) -> float | None:
    """The part that is true; None of nothing."""
    values = list(flags)
    return sum(values) / len(values) if values else None


def thin(points: Sequence[tuple[float, float]], most: int = MAX_POINTS) -> Sequence[Any]:
    """At most so many of the points, evenly, the last one among them."""
    if len(points) <= most:
        return points
    return [points[(number + 1) * len(points) // most - 1] for number in range(most)]


def significant(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
