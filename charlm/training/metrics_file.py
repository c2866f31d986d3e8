"""``metrics.csv`` beside a run's log for TensorBoard: all that it has logged, to read with anything."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charlm.errors import UserError
from charlm.text.files import atomic_writer

NAME = "metrics.csv"
HEADER = "step,name,value\n"

# Of each metric, the steps and the values.
Curves = dict[str, tuple[list[int], list[float]]]


class MetricsFile:
    """Adds rows of step, name and value to a file; they are on the disk after ``flush``.

    Args:
        path: of the file, which may be there.
        purge_step: its rows from that step on are dropped: a run that goes on logs them again.
    """

    def __init__(self, path: Path, purge_step: int | None = None) -> None:
        self.path = path
        self._waiting: list[str] = []
        if path.is_file() and purge_step is not None:
            kept = [row for row in whole_rows(path) if int(row[0]) < purge_step]
            with atomic_writer(path) as file:
                file.write((HEADER + "".join(map(line, kept))).encode())

    def add(self, metrics: Mapping[str, Any], step: int) -> None:
        self._waiting += [
            line((step, name, float(value)))
            for name, value in metrics.items()
            if not isinstance(value, Mapping)  # several curves in one picture: TensorBoard's alone
        ]

    def flush(self) -> None:
        if self._waiting:
            # Should the disk be full, what is left of a row stands on a line of its own.
            text, self._waiting = "".join(self._waiting), ["\n"]
            if not self.path.is_file():
                text = HEADER + text
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(text)
            self._waiting = []


def line(row: tuple[Any, ...] | list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()


def whole_rows(path: Path) -> list[list[str]]:
    """All but the header, and but what a killed process or a full disk has left of a row."""
    text = path.read_text(encoding="utf-8")
    rows = csv.reader(text[: text.rfind("\n") + 1].splitlines())
    return [row for row in rows if len(row) == 3][1:]


def read_curves(folder: str | Path) -> Curves:
    """What a run has logged, to plot: by its name (``train/perplexity``), the steps and the values.

    Args:
        folder: ``lightning_logs/version_N``; of a run that still trains, what is on the disk.

    Raises:
        UserError: there is no log in it.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        raise UserError(f"There is no {NAME} in {folder}: name a run's lightning_logs/version_N.")
    curves: Curves = {}
    for step, name, value in whole_rows(path):
        steps, values = curves.setdefault(name, ([], []))
        steps.append(int(step))
        values.append(float(value))
    return curves
