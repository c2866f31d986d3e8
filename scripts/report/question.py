"""A question of the report: what is run for it, and what the results are made to say."""

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from matplotlib.figure import Figure

from scripts.report.statistics import compare, spread
from scripts.report.tasks import Measure, Result, Run, Scale, Task, Variant


class Table(NamedTuple):
    """Figures for a page: a header, rows of as many cells, and what they are, in a sentence."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


# Sentences, and whether the results bear them out.
Claims = dict[str, bool]

# The header of ``Found.held_out_cells``.
HELD_OUT = ("best held-out bits", "at epoch", "held-out bits at the end")


@dataclass(frozen=True)
class Found:
    """The results of a question's tasks.

    Attributes:
        runs: by the variant's label, one a seed.
        measures: by the measure's name.
    """

    runs: Mapping[str, Sequence[Result]]
    measures: Mapping[str, Result]

    def perplexity(self, label: str) -> list[float]:
        """Training perplexity at the end, a seed each, of the runs that reached it."""
        return [run["perplexity"] for run in self.runs[label] if run["stopped"] is None]

    def stopped(self, label: str) -> int:
        """How many runs ended with a loss or weights that were no numbers any more."""
        return sum(run["stopped"] is not None for run in self.runs[label])

    def held_out(self, label: str) -> list[float]:
        """Held-out bits per character at the end."""
        return [run["held_out"][-1][1] for run in self.runs[label] if run["stopped"] is None]

    def best_held_out(self, label: str) -> list[tuple[float, float]]:
        """(bits, epoch) of each run's best held-out bits per character."""
        return [min((y, x) for x, y in run["held_out"]) for run in self.runs[label]]

    def held_out_cells(self, label: str) -> tuple[str, str, str]:
        """Three cells of a table: the best held-out bits, their epoch, the bits at the end."""
        best = self.best_held_out(label)
        epoch = statistics.mean([epoch for _, epoch in best])
        return spread([bits for bits, _ in best]), f"{epoch:.0f}", spread(self.held_out(label))

    def memorised(self, label: str) -> bool:
        """Whether held-out text was better predicted before the end."""
        best = [bits for bits, _ in self.best_held_out(label)]
        return compare(self.held_out(label) or [math.inf], best) == "higher"

    def speed(self, label: str) -> list[float]:
        """Training characters per second."""
        return [run["characters_per_second"] for run in self.runs[label]]


class Question(ABC):
    """One entry of the report.

    Attributes:
        name: on the command line and in addresses.
        title: as readers ask it.
        done: what was done, in a sentence or two.
        answer: what was found, written by hand from the full report's results.
        day: on which these results were there.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    done: ClassVar[str]
    answer: ClassVar[str]
    day: ClassVar[str]

    def variants(self) -> dict[str, Variant]:
        """The training runs, by the label that they have in tables and pictures."""
        return {}

    def measures(self, runs: Mapping[str, Sequence[Run]]) -> list[Measure]:
        """What is measured beside, on the runs by label."""
        return []

    @abstractmethod
    def table(self, found: Found) -> Table:
        """The figures over seeds."""

    @abstractmethod
    def claims(self, found: Found) -> Claims:
        """What the answer rests on."""

    @abstractmethod
    def draw(self, found: Found) -> Figure:
        """The picture."""

    # What the report does with it

    def contradicted(self, found: Found) -> list[str]:
        """The claims that results don't bear out."""
        return [claim for claim, holds in self.claims(found).items() if not holds]

    def runs(self, scale: Scale) -> dict[str, list[Run]]:
        return {label: variant.runs(scale) for label, variant in self.variants().items()}

    def tasks(self, scale: Scale) -> list[Task]:
        runs = self.runs(scale)
        return [*(run for seeds in runs.values() for run in seeds), *self.measures(runs)]

    def found(self, scale: Scale, keep: bool = False) -> Found | None:
        """All results, or None as long as one is missing."""
        runs = self.runs(scale)
        run_results = {label: [run.result(keep) for run in seeds] for label, seeds in runs.items()}
        measured = {each.name: each.result(keep) for each in self.measures(runs)}
        if None in measured.values() or any(None in seeds for seeds in run_results.values()):
            return None
        return Found(
            {label: [run for run in seeds if run] for label, seeds in run_results.items()},
            {name: result for name, result in measured.items() if result},
        )
