"""Do one task in whatever process: train as ``charlm fit`` does, and read the run's ``metrics.csv``."""

import contextlib
import os
import shutil
import statistics
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from charlm.errors import UserError

# The stretches of a run of which the highest perplexity is kept.
NUM_PEAKS = 40
# Of the epochs at a run's end, whose median stands for its perplexity: a single epoch may spike.
LAST_EPOCHS = 10
# An epoch's loss blows up if it is so many nats above the lowest before it.
BLOW_UP_NATS = 1.0
# The bound of clipping by value in these experiments.
VALUE = 0.05
DIVERGED = ("The loss is", "The weights aren't finite")


def perform(root: str, function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Call a function on one thread, in the folder from which its paths are seen."""
    import torch

    os.chdir(root)
    torch.set_num_threads(1)
    return function(*arguments)


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
    stopped = None
    try:
        with (
            open(os.devnull, "w", encoding="utf-8") as nowhere,
            contextlib.redirect_stderr(nowhere),
        ):
            run([*arguments, "--trainer.enable_progress_bar=false", "--ckpt_path=auto"])
    except UserError as error:
        if not str(error).startswith(DIVERGED):
            raise
        stopped = str(error)
    versions = Path(folder).glob("lightning_logs/version_*")
    log = max(versions, key=lambda version: int(version.name.partition("_")[2]))
    return read_log(log) | {"stopped": stopped, "log": str(log)}


def read_log(folder: Path) -> dict[str, Any]:
    """The figures of a run from its ``metrics.csv``.

    Returns:
        ``perplexity``: the median over the last epochs; ``curve``, ``peaks``, ``held_out``,
        ``norms``: (epoch, value) in order, of the training perplexity, of its highest in between,
        of the held-out bits per character and of the gradient's norm before clipping; ``clipped``:
        the share of the steps looked at whose norm was above 1; ``clipped_by_value``: whose largest
        entry was above ``VALUE`` (only where that is logged); ``blow_ups``: the epochs whose loss
        was a nat or more above the lowest before; ``setback``: the most that an epoch's loss was
        above the lowest before, in nats; ``characters_per_second``: the median over epochs;
        ``checkpoint``: its path.
    """
    from charlm.training.metrics_file import read_curves

    # A run that ended in its first steps has logged nothing.
    logged = read_curves(folder) if (folder / "metrics.csv").is_file() else {}
    nothing: tuple[list[int], list[float]] = ([], [])
    ends, losses = logged.get("train/loss", nothing)
    steps_per_epoch = ends[0] + 1 if ends else 1

    def values(name: str) -> list[float]:
        return logged.get(name, nothing)[1]

    def curve(name: str) -> list[tuple[float, float]]:
        """By epochs, of which all are equally long."""
        points = zip(*logged.get(name, nothing), strict=True)
        return [((step + 1) / steps_per_epoch, value) for step, value in points]

    perplexities = values("train/perplexity")
    speeds = values("throughput/characters_per_second")
    checkpoint = folder / "checkpoints" / "last.ckpt"
    return {
        "perplexity": statistics.median(perplexities[-LAST_EPOCHS:]) if perplexities else None,
        "epochs": len(losses),
        "curve": curve("train/perplexity"),
        "held_out": curve("val/bits_per_character"),
        "peaks": peaks(perplexities),
        "norms": curve("train/grad_norm"),
        "clipped": share_above(1, values("train/grad_norm")),
        "clipped_by_value": share_above(VALUE, values("train/grad_max")),
        "blow_ups": blow_ups(losses),
        "setback": max(rises(losses), default=0.0),
        "characters_per_second": statistics.median(speeds) if speeds else None,
        "checkpoint": str(checkpoint) if checkpoint.is_file() else None,
    }


def peaks(values: Sequence[float]) -> list[tuple[int, float]]:
    """(epoch, value) of the highest of each stretch, so that no spike falls between two points."""
    number = min(len(values), NUM_PEAKS)
    cuts = [place * len(values) // number for place in range(number + 1)] if number else []
    return [(end, max(values[start:end])) for start, end in pairwise(cuts)]


def rises(losses: Sequence[float]) -> list[float]:
    """The nats by which each epoch's loss is above the lowest so far."""
    return [loss - lowest for loss, lowest in zip(losses, accumulate(losses, min), strict=True)]


def blow_ups(losses: Sequence[float]) -> list[int]:
    """The epochs, counted from 1, in which training had lost a nat or more of what it had."""
    return [epoch for epoch, nats in enumerate(rises(losses), 1) if not nats < BLOW_UP_NATS]


def share_above(bound: float, values: Sequence[float]) -> float | None:
    """The part of the values that is above a bound; None of nothing."""
    return sum(value > bound for value in values) / len(values) if values else None
