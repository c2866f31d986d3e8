"""Warm-up: does a longer prefix help?"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures import prefixes
from scripts.report.question import Claims, Found, Question, Table
from scripts.report.statistics import compare_pairs, mean, number
from scripts.report.tasks import Measure, Run, Variant
from scripts.report.variants import BASE, RANDOM

LENGTHS = [1, 2, 3, 5, 8, 12, 20, 35, 50, 75, 100, 150, 200]
NEXT = 50
# A prefix does as well as the longest if this part of what is to be gained is left.
LEFT = 0.1
SHOWN = (1, 5, 20, 35, 50, 100, 200)


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

    def measures(self, runs: Mapping[str, Sequence[Run]]) -> list[Measure]:
        options: Any = {"lengths": LENGTHS, "num_next": NEXT, "every": 5}
        return [
            Measure(f"prefixes-{label}", prefixes.after_prefixes, list(seeds), **options)
            for label, seeds in runs.items()
        ]

    def table(self, found: Found) -> Table:
        rows = [
            (
                f"{label}, {text} text",
                *(
                    number(mean([seed[LENGTHS.index(length)] for seed in of(found, label, text)]))
                    for length in SHOWN
                ),
            )
            for label in found.runs
            for text in ("training", "held-out")
        ]
        places = found.measures["prefixes-sequential"]["held-out"]["places"]
        note = (
            f"Nats per character, over the next {NEXT}, by the prefix's length; {places} places of "
            "the held-out text, five characters apart."
        )
        return Table(("trained", *map(str, SHOWN)), rows, note)

    day = "2026-11-21"
    answer = (
        "Yes, up to a length: on training text from 1.11 nats after one character to 0.77 after "
        "200, and 12 characters do as well; on held-out text hardly (3.29 and 3.27). Beyond the 35 "
        "steps of a window nothing is gained, whether the network was trained with sequential "
        "batches or with random ones."
    )

    def claims(self, found: Found) -> Claims:
        def change(label: str, text: str, near: int) -> str:
            seeds = of(found, label, text)
            place = LENGTHS.index(near)
            return compare_pairs([seed[-1] for seed in seeds], [seed[place] for seed in seeds])

        return {
            "a longer prefix helps on training text": change("sequential", "training", 1)
            == "lower",
            "20 characters do as well as 200": enough_of(of(found, "sequential", "training")) <= 20,
            "it hardly helps on held-out text": change("sequential", "held-out", 1) == "alike",
            "nothing is gained beyond a window": all(
                change(label, "training", 35) == "alike" for label in found.runs
            ),
        }

    def draw(self, found: Found) -> Figure:
        drawn, axes = picture.figure(2)
        for ax, text in zip(axes[0], ("training", "held-out"), strict=True):
            for label, colour in zip(found.runs, picture.COLOURS, strict=False):
                seeds = of(found, label, text)
                by_length = list(zip(*seeds, strict=True))
                picture.band(ax, LENGTHS, by_length, colour, label)
            ax.axvline(35, color=picture.INK, linewidth=0.8, linestyle=":")
            ax.set_xscale("log")
            ax.set_xticks([1, 2, 5, 10, 20, 50, 100, 200], [1, 2, 5, 10, 20, 50, 100, 200])
            ax.minorticks_off()
            picture.label(
                ax, "prefix (characters)", f"nats of the next {NEXT} characters", f"{text} text"
            )
        return drawn


def of(found: Found, label: str, text: str) -> list[list[float]]:
    """Nats for each seed and length."""
    nats: list[list[float]] = found.measures[f"prefixes-{label}"][text]["nats"]
    return nats


def enough_of(seeds: Sequence[Sequence[float]]) -> int:
    """The shortest prefix from which on the mean is near that of the longest."""
    means = [mean(values) for values in zip(*seeds, strict=True)]
    near = [value <= means[-1] + LEFT * (means[0] - means[-1]) for value in means]
    return next(length for place, length in enumerate(LENGTHS) if all(near[place:]))
