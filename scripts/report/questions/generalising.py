"""A model that generalises: the shipped configurations on text they have never seen."""

import json
from pathlib import Path

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.question import Claims, Found, Question, Table
from scripts.report.statistics import number

# Of the README's "Good on text it has never seen", whose runs take an hour: measured once.
FIGURES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
WAYS = ("static", "dynamic", "n-grams", "PPMd")


class Generalising(Question):
    name = "generalising"
    title = "How do I get a model that generalises?"
    done = (
        "`charlm fit --config NAME`, then `charlm score --held_out test`, state carried, with "
        "`--dynamic`, `--ngram` and `--baselines`: on the last tenth of the text (`own-text`: the "
        "last twentieth), by which nothing was chosen."
    )

    def table(self, found: Found) -> Table:
        rows = [
            (
                f"`{name}`",
                each["text"],
                str(each["seeds"]),
                each["unit"],
                *("–" if each[way] is None else number(each[way], 4) for way in WAYS),
            )
            for name, each in FIGURES.items()
        ]
        header = ("configuration", "text", "seeds", "per character", *WAYS)
        note = "`n-grams`: dynamic, with n-grams. PPMd adapts as it reads, too."
        return Table(header, rows, note)

    day = "2026-11-25"
    answer = (
        "Not by training longer on little text, which memorises, but by more text, early stopping, "
        "dropout and weight-drop: `charlm fit --config shakespeare` reaches 1.413 nats per character "
        "on unseen Shakespeare, `novel` 2.124 bits on the end of The Time Machine, where the book's "
        "run is at its best at 3.03 and ends at 4.68. A model that goes on learning as it reads "
        "(`--dynamic`), mixed with counts (`--ngram`), beats PPMd on all three texts: 1.237 nats "
        "against 1.404, 1.957 bits against 2.039, 1.880 against 2.011."
    )

    def claims(self, found: Found) -> Claims:
        mixed = [each for each in FIGURES.values() if each["n-grams"]]
        return {
            "mixed with counts it beats PPMd": all(each["n-grams"] < each["PPMd"] for each in mixed)
        }

    def draw(self, found: Found) -> Figure:
        drawn, ax = picture.figure()
        names = [f"{name}\n({each['unit']})" for name, each in FIGURES.items()]
        heights = {way: [each[way] or 0 for each in FIGURES.values()] for way in WAYS}
        picture.bars(ax, names, heights)
        ax.set_ylim(top=1.15 * ax.get_ylim()[1])  # room for the legend
        picture.label(ax, "configuration", "per character, unseen text", legend={"ncols": 4})
        return drawn
