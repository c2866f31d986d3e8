"""ReLU for tanh."""

import math

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.question import Claims, Found, Question, Table
from scripts.report.questions.clipping import blown
from scripts.report.statistics import compare, mean, number, percent, spread
from scripts.report.tasks import Variant
from scripts.report.variants import BASE


class Relu(Question):
    name = "relu"
    title = "ReLU instead of tanh: is clipping still needed?"
    done = "The same network with tanh and with ReLU, clipped at norm 1 and not clipped."

    def variants(self) -> dict[str, Variant]:
        no_clip = {"trainer.gradient_clip_val": None}
        relu = {"model.cell_options.nonlinearity": "relu"}
        return {
            "tanh, clipped": BASE,
            "tanh, not clipped": Variant("rnn-128-sequential-clip-none", no_clip),
            "ReLU, clipped": Variant("rnn-128-relu", relu),
            "ReLU, not clipped": Variant("rnn-128-relu-clip-none", {**relu, **no_clip}),
        }

    def table(self, found: Found) -> Table:
        rows = [
            (
                label,
                spread(found.perplexity(label)),
                f"{blown([label], found)} of {len(runs)}",
                f"{found.stopped(label)} of {len(runs)}",
                number(max((y for run in runs for _, y in run["norms"]), default=0), 2),
                percent(mean([run["clipped"] or 0 for run in runs])),
            )
            for label, runs in found.runs.items()
        ]
        header = ("", "perplexity", "blew up", "ended as NaN", "largest norm", "norms above 1")
        return Table(header, rows, "Perplexity is of the runs that ended as numbers.")

    day = "2026-11-21"
    answer = (
        "It helps: no run with ReLU blew up without clipping, but perplexity ends at 2.26 instead "
        "of 2.00. Clipped, ReLU is worse than tanh: 2.00 against 1.92."
    )

    def claims(self, found: Found) -> Claims:
        free, clipped = found.perplexity("ReLU, not clipped"), found.perplexity("ReLU, clipped")
        return {
            "without clipping no run with ReLU blows up": not blown(["ReLU, not clipped"], found),
            "without clipping ReLU ends higher": compare(free or [math.inf], clipped) == "higher",
            "clipped, ReLU is worse than tanh": compare(clipped, found.perplexity("tanh, clipped"))
            == "higher",
        }

    def draw(self, found: Found) -> Figure:
        drawn, axes = picture.figure(2)
        left, right = axes[0]
        picture.training(left, found.runs)
        picture.curves(right, found.runs, "norms")
        right.set_yscale("log")
        picture.label(right, "epoch", "gradient norm before clipping")
        right.get_legend().remove()
        return drawn
