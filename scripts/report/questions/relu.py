"""ReLU for tanh."""

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.question import Found, Question, Table
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

    def answer(self, found: Found) -> str:
        label, clipped = "ReLU, not clipped", "ReLU, clipped"
        total, burst, lost = len(found.runs[label]), blown([label], found), found.stopped(label)
        reached, with_clip = found.perplexity(label), found.perplexity(clipped)
        worse = not reached or compare(reached, with_clip or [float("inf")]) == "higher"
        if lost or burst:
            first = (
                f"Yes: without clipping {burst} of {total} runs with ReLU blew up, and {lost} ended "
                f"in a loss that is no number; with it {blown([clipped], found)} did."
            )
        elif worse:
            first = (
                f"It helps: no run with ReLU blew up without clipping, but perplexity ends at "
                f"{spread(reached)} instead of {spread(with_clip)}."
            )
        else:
            first = (
                f"Not here: none of {total} runs with ReLU blew up without clipping, and perplexity "
                f"ends at {spread(reached)}, clipped at {spread(with_clip)}."
            )
        tanh = found.perplexity("tanh, clipped")
        if not with_clip:
            return f"{first} Even clipped, no run with ReLU came to an end."
        verdict = compare(with_clip, tanh)
        word = {"lower": "better than", "higher": "worse than", "alike": "no different from"}[
            verdict
        ]
        return f"{first} Clipped, ReLU is {word} tanh: {spread(with_clip)} against {spread(tanh)}."

    def draw(self, found: Found) -> Figure:
        drawn, axes = picture.figure(2)
        left, right = axes[0]
        picture.training(left, found.runs)
        picture.curves(right, found.runs, "norms")
        right.set_yscale("log")
        picture.label(right, "epoch", "gradient norm before clipping")
        right.get_legend().remove()
        return drawn
