"""A question of the report: what is run for it, and what the results are made to say."""

import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.statistics import higher, number, spread
from scripts.report.tasks import Measure, Result, Run, Scale, Task, Variant


class Table(NamedTuple):
    """Figures for a page: a header, rows of as many cells, and what they are, in a sentence."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


# Sentences, and whether the results bear them out.
Claims = dict[str, bool]
# By the variant's label, one a seed.
Runs = Mapping[str, Sequence[Run]]
# By their headers, what gives a variant's cell: a text, or figures over seeds.
Columns = Mapping[str, Callable[[str], str | list[float]]]


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

    def held_out(self, label: str) -> list[float]:
        """Held-out bits per character at the end, of those runs."""
        return [run["held_out"][-1][1] for run in self.runs[label] if run["stopped"] is None]

    def best_held_out(self, label: str) -> list[float]:
        """Each run's best held-out bits per character."""
        return [min(bits for _, bits in run["held_out"]) for run in self.runs[label]]

    def best_epoch(self, label: str) -> str:
        """The epoch of each run's best held-out bits, the mean over seeds."""
        best = [min((bits, epoch) for epoch, bits in run["held_out"]) for run in self.runs[label]]
        return f"{statistics.mean(epoch for _, epoch in best):.0f}"

    def memorised(self, label: str) -> bool:
        """Whether held-out text was better predicted before the end."""
        return higher(self.held_out(label), self.best_held_out(label))

    def speed(self, label: str) -> list[float]:
        """Training characters per second."""
        return [run["characters_per_second"] for run in self.runs[label]]

    # Of tables

    def mean_speed(self, label: str) -> str:
        return number(statistics.fmean(self.speed(label)))

    def learning(self) -> Columns:
        """How well the training text was learned, and the held-out text."""
        return {
            "perplexity": self.perplexity,
            "best held-out bits": self.best_held_out,
            "at epoch": self.best_epoch,
            "held-out bits at the end": self.held_out,
        }

    def table(self, first: str, columns: Columns, note: str = "") -> Table:
        """A row for each variant.

        Args:
            first: the header of the labels.
        """
        rows = []
        for label in self.runs:
            cells = [cell(label) for cell in columns.values()]
            rows.append((label, *(c if isinstance(c, str) else spread(c) for c in cells)))
        return Table((first, *columns), rows, note)


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

    def measures(self, runs: Runs) -> list[Measure]:
        """What is measured beside, on the runs by label."""
        return []

    @abstractmethod
    def table(self, found: Found) -> Table:
        """The figures over seeds."""

    @abstractmethod
    def claims(self, found: Found) -> Claims:
        """What the answer rests on."""

    def draw(self, found: Found) -> Figure:
        """The picture: if nothing else is said, of the training perplexity."""
        drawn, ax = picture.figure()
        picture.training(ax, found.runs)
        return drawn

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
        results = {task.path: task.result(keep) for task in self.tasks(scale)}
        done = {path: result for path, result in results.items() if result is not None}
        if len(done) < len(results):
            return None
        runs = self.runs(scale)
        return Found(
            {label: [done[run.path] for run in seeds] for label, seeds in runs.items()},
            {each.name: done[each.path] for each in self.measures(runs)},
        )
