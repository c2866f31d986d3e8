"""Why `updater(batch_size=1)`."""

from scripts.report.measures.steps import step_lengths
from scripts.report.question import Claims, Found, Question, Runs, Table
from scripts.report.statistics import higher, number, spread
from scripts.report.tasks import Measure, Variant
from scripts.report.variants import BASE

ONE, DIVIDED = "batch_size=1: learning rate 1", "batch_size=32: learning rate 1/32"
WAYS = {"mean, batch_size=1": ONE, "mean, batch_size=32": DIVIDED}


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

    def measures(self, runs: Runs) -> list[Measure]:
        return [Measure("step-lengths", step_lengths, learning_rate=1.0)]

    def table(self, found: Found) -> Table:
        rows = []
        for way, step in found.measures["step-lengths"].items():
            trained = "as the first" if abs(step["ratio"] - 1) < 1e-3 else "–"
            if way in WAYS:
                trained = spread(found.perplexity(WAYS[way]))
            rows.append((f"loss: {way}", number(step["length"]), number(step["ratio"], 4), trained))
        header = ("", "length of the first step", "to the first", "perplexity after training")
        return Table(header, rows)

    day = "2026-11-26"
    answer = (
        "Because the loss is a mean already: to divide its gradient by the batch size once more "
        "would make every step 32 times shorter. The summed loss divided by all 1,120 "
        "characters takes the same step as the mean. The shorter step trains far less in the "
        "same time: perplexity 12.2 instead of 1.92."
    )

    def claims(self, found: Found) -> Claims:
        ratios = {way: each["ratio"] for way, each in found.measures["step-lengths"].items()}
        divided, all_characters = ratios["mean, batch_size=32"], ratios["sum, batch_size=1120"]
        return {
            "divided once more, a step is 32 times shorter": abs(1 / divided - 32) < 0.1,
            "the sum divided by all characters takes the same step": abs(all_characters - 1) < 1e-3,
            "the shorter step trains less": higher(
                found.perplexity(DIVIDED), found.perplexity(ONE)
            ),
        }
