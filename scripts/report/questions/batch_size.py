"""Why `updater(batch_size=1)`."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures import steps
from scripts.report.question import Claims, Found, Question, Table
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

    day = "2026-11-21"
    answer = (
        "Because the loss is a mean already: to divide its gradient by the batch size once more "
        "would make every step 32 times shorter. The summed loss divided by all 1,120 characters "
        "takes the same step as the mean. The shorter step trains far less in the same time: "
        "perplexity 12.2 instead of 1.92."
    )

    def claims(self, found: Found) -> Claims:
        ratios = {way: each["ratio"] for way, each in found.measures["step-lengths"].items()}
        return {
            "divided once more, a step is 32 times shorter": abs(
                1 / ratios["mean, batch_size=32"] - 32
            )
            < 0.1,
            "the sum divided by all characters takes the same step": abs(
                ratios["sum, batch_size=1120"] - 1
            )
            < 1e-3,
            "the shorter step trains less": compare(
                found.perplexity(DIVIDED), found.perplexity(ONE)
            )
            == "higher",
        }

    def draw(self, found: Found) -> Figure:
        drawn, ax = picture.figure()
        picture.training(ax, found.runs)
        return drawn
