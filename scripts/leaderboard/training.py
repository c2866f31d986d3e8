"""Train a contender for so many seconds, and look at the held-out loss on the way, off the clock."""

import time
from collections.abc import Callable
from typing import NamedTuple

from scripts.leaderboard.contenders import Contender

# How often the loss is looked at.
NUM_LOOKS = 8


class Point(NamedTuple):
    """Held-out nats per character after so many seconds of training."""

    seconds: float
    nats: float


def train(contender: Contender, seconds: float, look: Callable[[], float]) -> list[Point]:
    """The curve; its last point is the end.

    Args:
        seconds: what the steps may take, all together; the last step is the one that ends nearest.
        look: measures the held-out loss.
    """
    contender.model.train()
    spent = last_step = 0.0
    curve: list[Point] = []
    while spent + last_step / 2 < seconds:
        started = time.perf_counter()
        contender.step(spent / seconds)
        last_step = time.perf_counter() - started
        looks_due = int(NUM_LOOKS * spent / seconds)
        spent += last_step
        if int(NUM_LOOKS * spent / seconds) > looks_due:
            curve.append(Point(round(spent, 2), look()))
    return [*curve, Point(round(spent, 2), look())]
