"""The cells, old and new, at equal seconds and equal parameters."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.question import Claims, Found, Question, Table
from scripts.report.statistics import lower, mean, number, percent, spread

# Of `python -m scripts.benchmarks.cells`, which takes an hour: measured once.
MEASURED = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
LAGS = (10, 30, 100)
# So many has the pictures' style.
COLOURS = 8


def of_cells() -> dict[str, list[dict[str, Any]]]:
    """Each cell's rows, one a seed; the cell that predicts the novel best comes first."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in MEASURED["rows"]:
        rows.setdefault(row["cell"], []).append(row)
    return dict(sorted(rows.items(), key=lambda each: mean(figures(each[1], "bits_per_character"))))


def figures(rows: list[dict[str, Any]], key: str) -> list[float]:
    return [row[key] for row in rows]


class Cells(Question):
    name = "cells"
    title = "Which cell should I take, on a CPU, at which length?"
    done = (
        "Two layers of each cell, as wide as 100,000 parameters allow, trained for 40 seconds of one "
        "thread on nine tenths of The Time Machine, and for 40 on copying a word after 1 to 100 "
        "dots; AdamW, each cell with the start and the rate that are best for it on training text "
        "(`python -m scripts.benchmarks.cells`)."
    )

    def table(self, found: Found) -> Table:
        rows = [
            (
                f"`{cell}`",
                str(rows[0]["hidden_size"]),
                number(mean(figures(rows, "characters_per_second"))),
                spread(figures(rows, "bits_per_character")),
                *(percent(mean(figures(rows, f"copied_{lag}"))) for lag in LAGS),
            )
            for cell, rows in of_cells().items()
        ]
        copied = (f"copied, {lag} dots" for lag in LAGS)
        header = ("cell", "units", "characters/s", "held-out bits", *copied)
        seeds = {row["seed"] for row in MEASURED["rows"]}
        note = (
            f"Over {len(seeds)} seeds. By chance an eighth of the letters is copied. Measured on "
            f"{MEASURED['date']} ({MEASURED['processor']}, {MEASURED['capability']})."
        )
        return Table(header, rows, note)

    day = "2026-11-26"
    answer = (
        "Within a minute of one core's time, the GRU or the LSTM with layer normalisation: that one "
        "predicts the novel best (2.16 bits per character; the GRU 2.22, all others 2.29 and more), "
        "and both copy a word over 100 dots with hardly a mistake. The cells that are linear in "
        "their state copy as well over 100 dots as over 10 (minGRU 86 %, minLSTM 89 %), where the "
        "RNN falls from 93 % to 73 %. The LSTM is the fastest, but hasn't learned to copy in that "
        "time; nor have the sLSTM and the Mogrifier LSTM, which are the slowest."
    )

    def claims(self, found: Found) -> Claims:
        rows = of_cells()
        bits = {cell: figures(each, "bits_per_character") for cell, each in rows.items()}
        best, second, *others = rows

        def copied(cell: str, lag: int) -> float:
            return mean(figures(rows[cell], f"copied_{lag}"))

        return {
            "layer normalisation is best on the novel, the GRU next": (
                (best, second) == ("layer_norm_lstm", "gru")
                and lower(bits[best], bits[second])
                and max(bits[second]) < min(mean(bits[cell]) for cell in others)
            ),
            "both copy over 100 dots": min(copied(best, 100), copied(second, 100)) > 0.95,
            "linear cells copy as well over 100 dots as over 10": all(
                copied(cell, 100) > 0.8 and abs(copied(cell, 10) - copied(cell, 100)) < 0.05
                for cell in ("min_gru", "min_lstm")
            ),
            "the RNN copies worse over 100 dots": copied("rnn", 100) < copied("rnn", 10) - 0.1,
            "three cells haven't learned to copy": all(
                copied(cell, 10) < 0.25 for cell in ("lstm", "slstm", "mogrifier_lstm")
            ),
        }

    def draw(self, found: Found) -> Figure:
        drawn, left, right = picture.figure(2)
        for place, (cell, rows) in enumerate(of_cells().items()):
            bits = figures(rows, "bits_per_character")
            (points,) = left.plot(bits, [place] * len(bits), "os"[place >= COLOURS])
            shares = [[100 * share for share in figures(rows, f"copied_{lag}")] for lag in LAGS]
            # Without a legend: the colours are named on the left.
            line = "--" if place >= COLOURS else "-"
            picture.band(right, LAGS, shares, f"_{cell}", color=points.get_color(), linestyle=line)
        left.set_yticks(range(len(of_cells())), list(of_cells()))
        left.invert_yaxis()
        left.set(xlabel="held-out bits per character", ylabel="cell")
        right.set_xscale("log")
        picture.plain_ticks(right.xaxis, LAGS)
        picture.label(
            right, "dots between a word and its copy", "letters copied (%), colours as left"
        )
        return drawn
