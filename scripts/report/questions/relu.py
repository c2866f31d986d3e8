"""ReLU for tanh."""

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.question import Claims, Columns, Found, Question, Table
from scripts.report.questions.clipping import blown, largest_norm, share_clipped
from scripts.report.statistics import higher
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
        def stopped(label: str) -> str:
            runs = found.runs[label]
            return f"{sum(run['stopped'] is not None for run in runs)} of {len(runs)}"

        columns: Columns = {
            "perplexity": found.perplexity,
            "blew up": lambda label: f"{blown(found, label)} of {len(found.runs[label])}",
            "ended as NaN": stopped,
            "largest norm": lambda label: largest_norm(found, label),
            "norms above 1": lambda label: share_clipped(found, label),
        }
        return found.table("", columns, "Perplexity is of the runs that ended as numbers.")

    day = "2026-11-26"
    answer = (
        "It helps: no run with ReLU blew up without clipping, but perplexity ends at 2.24 "
        "instead of 2.00. Clipped, ReLU is worse than tanh: 2.00 against 1.92."
    )

    def claims(self, found: Found) -> Claims:
        free, clipped = found.perplexity("ReLU, not clipped"), found.perplexity("ReLU, clipped")
        return {
            "without clipping no run with ReLU blows up": not blown(found, "ReLU, not clipped"),
            "without clipping ReLU ends higher": higher(free, clipped),
            "clipped, ReLU is worse than tanh": higher(clipped, found.perplexity("tanh, clipped")),
        }

    def draw(self, found: Found) -> Figure:
        drawn, left, right = picture.figure(2)
        picture.training(left, found.runs)
        picture.curves(right, found.runs, "norms")
        right.set_yscale("log")
        right.set(xlabel="epoch", ylabel="gradient norm before clipping")
        return drawn
