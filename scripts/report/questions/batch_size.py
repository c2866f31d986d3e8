"""Why `updater(batch_size=1)`."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures import steps
from scripts.report.question import Found, Question, Table
from scripts.report.statistics import compare, number, spread
from scripts.report.tasks import Measure, Run, Variant
from scripts.report.variants import BASE

ONE, DIVIDED = "batch_size=1: learning rate 1", "batch_size=32: learning rate 1/32"
WAYS = {ONE: "mean, batch_size=1", DIVIDED: "mean, batch_size=32"}


class BatchSize(Question):
    name = "batch-size"
    title = "Why `updater(batch_size=1)`?"
    done = (
        "The length of the first step, by what the loss is (the mean or the sum over the window's "
        "1,120 characters) and what the updater divides by; and training as the updater with "
        "batch_size=32 would do it."
    )

    def variants(self) -> dict[str, Variant]:
        return {ONE: BASE, DIVIDED: Variant("rnn-128-lr-1-32", {"model.learning_rate": 1 / 32})}

    def measures(self, runs: Mapping[str, Sequence[Run]]) -> list[Measure]:
        return [Measure("step-lengths", steps.step_lengths, learning_rate=1.0)]

    def table(self, found: Found) -> Table:
        measured = found.measures["step-lengths"]
        trained = {way: spread(found.perplexity(label)) for label, way in WAYS.items()}
        rows = [
            (
                f"loss: {way}",
                number(each["length"]),
                number(each["ratio"], 4),
                trained.get(way, "as the first" if abs(each["ratio"] - 1) < 1e-3 else "–"),
            )
            for way, each in measured.items()
        ]
        header = ("", "length of the first step", "to the first", "perplexity after training")
        return Table(header, rows)

    def answer(self, found: Found) -> str:
        measured = found.measures["step-lengths"]
        ratio = 1 / measured["mean, batch_size=32"]["ratio"]
        summed = measured["sum, batch_size=1120"]["ratio"]
        if abs(ratio - 32) < 0.1:
            first = (
                "Because the loss is a mean already: to divide its gradient by the batch size once "
                f"more would make every step {number(ratio, 2)} times shorter."
            )
        else:
            first = (
                f"Dividing once more makes the step {number(ratio, 2)} times shorter, not 32 times."
            )
        second = (
            "The summed loss divided by all 1,120 characters takes the same step as the mean."
            if abs(summed - 1) < 1e-3
            else f"The summed loss divided by all characters takes {number(summed, 2)} of the step."
        )
        ours, theirs = found.perplexity(ONE), found.perplexity(DIVIDED)
        words = {
            "higher": f"trains far less in the same time: perplexity {spread(theirs)} instead of",
            "lower": f"would even train better: perplexity {spread(theirs)} instead of",
            "alike": f"ends where the other does: perplexity {spread(theirs)} and",
        }
        return f"{first} {second} The shorter step {words[compare(theirs, ours)]} {spread(ours)}."

    def draw(self, found: Found) -> Figure:
        drawn, ax = picture.figure()
        picture.training(ax, found.runs)
        return drawn
