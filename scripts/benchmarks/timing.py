"""Time several ways to do the same work, in turn."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

Step = Callable[[], object]


def half_iqr(values: list[float]) -> float:
    """Half the interquartile range."""
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2


@dataclass
class Contestant:
    """One way to do an iteration, and the seconds that it took each time."""

    step: Step
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the interquartile range, relative to the median."""
        return half_iqr(self.seconds) / self.median


def ratio_spread(numerator: Contestant, denominator: Contestant) -> float:
    """Half the interquartile range of the rounds' ratios, relative to their median."""
    ratios = [a / b for a, b in zip(numerator.seconds, denominator.seconds, strict=True)]
    return half_iqr(ratios) / statistics.median(ratios)


def interleave(
    steps: Mapping[Any, Step], rounds: int, seconds: float, device: str
) -> dict[Any, Contestant]:
    """Time each of ``steps`` in turn, ``rounds`` times, for about ``seconds`` each time."""
    timed = {name: Contestant(step) for name, step in steps.items()}

    def timing(step: Step, repeats: int) -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / repeats

    repeats = {}
    for name, contestant in timed.items():
        timing(contestant.step, 2)
        repeats[name] = max(1, round(seconds / timing(contestant.step, 2)))
    for _ in range(rounds):
        for name, contestant in timed.items():
            contestant.seconds.append(timing(contestant.step, repeats[name]))
    return timed


def say(progress: str) -> None:
    print(progress, file=sys.stderr)
