"""How low can perplexity go?"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.question import Claims, Found, Question, Table
from scripts.report.statistics import mean
from scripts.report.tasks import Result, Variant
from scripts.report.variants import BASE

SIZES = (32, 128, 256, 512)


class Perplexity(Question):
    name = "perplexity"
    title = "How low can perplexity go?"
    done = (
        "One option at a time: the hidden size, the steps of a window (the characters of an epoch "
        "stay the same), the learning rate; the epochs are the axis of each run."
    )

    def variants(self) -> dict[str, Variant]:
        sizes = {
            f"{size} units": BASE
            if size == 128
            else Variant(f"rnn-{size}", {"model.hidden_sizes": [size]})
            for size in SIZES
        }
        rates = {
            f"learning rate {rate}": Variant(f"rnn-128-lr-{rate}", {"model.learning_rate": rate})
            for rate in (0.25, 2.0)
        }
        steps = {
            f"{steps} steps": Variant(
                f"rnn-128-{steps}-steps",
                {"data.num_steps": steps, "trainer.log_every_n_steps": every},
            )
            for steps, every in ((12, 9), (70, 3))
        }
        return {**sizes, **rates, **steps}

    def table(self, found: Found) -> Table:
        note = "128 units, 35 steps and learning rate 1 are the same run."
        return found.table("", found.learning(), note)

    day = "2026-11-26"
    answer = (
        "The lowest is 1.037, with 512 units; more units bring it down each time: 1 is the "
        "floor, and a network that is large enough gets there by knowing the 10,000 characters "
        "by heart. That is memorising, not learning: on held-out text the same network was best "
        "at epoch 92, with 3.07 bits per character, and ends at 6.30."
    )

    def claims(self, found: Found) -> Claims:
        reached = {label: mean(found.perplexity(label) or [math.inf]) for label in found.runs}
        sizes = [reached[f"{size} units"] for size in SIZES]
        lowest = reached["512 units"]
        return {
            "512 units reach the lowest, below 1.1": min(reached.values()) == lowest < 1.1,
            "more units bring it down each time": all(b < a for a, b in pairwise(sizes)),
            "held-out text was at its best before the end": found.memorised("512 units"),
        }

    def draw(self, found: Found) -> Figure:
        drawn, left, right = picture.figure(2, sharey=True)
        for label, seeds in found.runs.items():
            epochs = [x for x, _ in seeds[0]["held_out"]]
            bits = mean_of(seeds, "held_out", epochs)
            if "units" in label:
                left.plot(mean_of(seeds, "curve", epochs), bits, marker=".", label=label)
            right.plot(epochs, bits, "-" if "units" in label else "--", label=label)
        left.invert_xaxis()
        left.set_xscale("log")
        picture.plain_ticks(left.xaxis, [1, 1.5, 2, 3, 5, 8, 12, 17])
        title = "memorising goes right, learning goes down"
        picture.label(left, "training perplexity (falling)", "held-out bits per character", title)
        # One that fails would flatten all the others.
        left.set_ylim(top=min(left.get_ylim()[1], 5.5))
        picture.label(right, "epoch", "", legend={"fontsize": 6.5})
        return drawn


def mean_of(seeds: Sequence[Result], key: str, epochs: Sequence[float]) -> list[float]:
    """The seeds' mean of a curve, at the epochs."""
    at_epochs = [np.interp(epochs, *np.array(run[key]).T) for run in seeds]
    return [float(value) for value in np.mean(at_epochs, axis=0)]
