"""A question of the report: what is run for it, and what the results are made to say."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from matplotlib.figure import Figure

from scripts.report.tasks import Measure, Result, Run, Scale, Task, Variant


class Table(NamedTuple):
    """Figures for a page: a header, rows of as many cells, and what they are, in a sentence."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


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

    def speed(self, label: str) -> list[float]:
        """Training characters per second."""
        return [run["characters_per_second"] for run in self.runs[label]]


class Question(ABC):
    """One entry of the report.

    Attributes:
        name: on the command line and in addresses.
        title: as readers ask it.
        done: what was done, in a sentence or two.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    done: ClassVar[str]

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
    def answer(self, found: Found) -> str:
        """Two or three sentences that the figures bear out."""

    @abstractmethod
    def draw(self, found: Found) -> Figure:
        """The picture."""

    # What the report does with it

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
