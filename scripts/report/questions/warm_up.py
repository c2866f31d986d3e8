"""Warm-up: does a longer prefix help?"""

from typing import Any

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures.prefixes import after_prefixes
from scripts.report.question import Claims, Found, Question, Runs, Table
from scripts.report.statistics import compare, mean, number
from scripts.report.tasks import Measure, Variant
from scripts.report.variants import BASE, RANDOM

LENGTHS = [1, 2, 3, 5, 8, 12, 20, 35, 50, 75, 100, 150, 200]
NEXT = 50
# A prefix does as well as the longest if this part of what is to be gained is left.
LEFT = 0.1
SHOWN = (1, 5, 20, 35, 50, 100, 200)
TEXTS = ("training", "held-out")


def nats(found: Found, label: str, text: str) -> dict[int, list[float]]:
    """A character's nats by the prefix's length, for each seed."""
    seeds = found.measures[f"prefixes-{label}"][text]["nats"]
    return dict(zip(LENGTHS, map(list, zip(*seeds, strict=True)), strict=True))


def enough_of(by_length: dict[int, list[float]]) -> int:
    """The shortest prefix from which on the mean is near that of the longest."""
    means = {length: mean(values) for length, values in by_length.items()}
    first, last = means[LENGTHS[0]], means[LENGTHS[-1]]
    far = [length for length in LENGTHS if means[length] > last + LEFT * (first - last)]
    return min(length for length in LENGTHS if length > max(far, default=0))


class WarmUp(Question):
    name = "warm-up"
    title = "Warm-up: does a longer prefix help?"
    done = (
        f"The mean loss of the next {NEXT} characters after prefixes of 1 to {LENGTHS[-1]}, at the "
        "same places of the text for every length, on networks trained with sequential partition "
        "and with random sampling (windows of 35 from the zero state)."
    )

    def variants(self) -> dict[str, Variant]:
        return {"sequential": BASE, "random": RANDOM}

    def measures(self, runs: Runs) -> list[Measure]:
        options: dict[str, Any] = {"lengths": LENGTHS, "num_next": NEXT, "every": 5}
        return [
            Measure(f"prefixes-{label}", after_prefixes, seeds, **options)
            for label, seeds in runs.items()
        ]

    def table(self, found: Found) -> Table:
        rows = []
        for label in found.runs:
            for text in TEXTS:
                by_length = nats(found, label, text)
                cells = [number(mean(by_length[length])) for length in SHOWN]
                rows.append((f"{label}, {text} text", *cells))
        places = found.measures["prefixes-sequential"]["held-out"]["places"]
        note = (
            f"Nats per character, over the next {NEXT}, by the prefix's length; {places} places of "
            "the held-out text, five characters apart."
        )
        return Table(("trained", *map(str, SHOWN)), rows, note)

    day = "2026-11-26"
    answer = (
        "Yes, up to a length: on training text from 1.12 nats after one character to 0.78 after "
        "200, and 12 characters do as well; on held-out text hardly (3.31 and 3.30). Beyond the "
        "35 steps of a window nothing is gained, whether the network was trained with "
        "sequential batches or with random ones."
    )

    def claims(self, found: Found) -> Claims:
        def change(label: str, text: str, near: int) -> str:
            by_length = nats(found, label, text)
            return compare(by_length[LENGTHS[-1]], by_length[near], paired=True)

        return {
            "a longer prefix helps on training text": change("sequential", "training", 1)
            == "lower",
            "20 characters do as well as 200": enough_of(nats(found, "sequential", "training"))
            <= 20,
            "it hardly helps on held-out text": change("sequential", "held-out", 1) == "alike",
            "nothing is gained beyond a window": all(
                change(label, "training", 35) == "alike" for label in found.runs
            ),
        }

    def draw(self, found: Found) -> Figure:
        drawn, *axes = picture.figure(2)
        for ax, text in zip(axes, TEXTS, strict=True):
            for label in found.runs:
                picture.band(
                    ax, LENGTHS, list(nats(found, label, text).values()), label, marker="."
                )
            ax.axvline(35, color=picture.INK, linewidth=0.8, linestyle=":")
            ax.set_xscale("log")
            picture.plain_ticks(ax.xaxis, [1, 2, 5, 10, 20, 50, 100, 200])
            y = f"nats of the next {NEXT} characters"
            picture.label(ax, "prefix (characters)", y, f"{text} text")
        return drawn
