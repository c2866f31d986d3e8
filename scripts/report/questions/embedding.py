"""Is one-hot the same as an embedding?"""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures import identity
from scripts.report.question import Found, Question, Table
from scripts.report.statistics import compare, listed, number, spread
from scripts.report.tasks import Measure, Run, Variant
from scripts.report.variants import BASE

ONE_HOT = "one-hot"
# As large as this, a relative difference is more than rounding.
ROUNDING = {"float32": 1e-4, "float64": 1e-12}


class Embedding(Question):
    name = "embedding"
    title = "Is one-hot the same as an embedding?"
    done = (
        "The same weights with a one-hot input, and with an embedding whose table is the identity "
        "matrix; then any embedding against one-hot with its table multiplied into W_ih. And "
        "training for equal steps: one-hot, and learned embeddings of 8, 28 and 128 numbers."
    )

    def variants(self) -> dict[str, Variant]:
        embedded = {
            f"embedding of {size}": Variant(
                f"rnn-128-embedding-{size}",
                {"model.encoding": "embedding", "model.embedding_size": size},
            )
            for size in (8, 28, 128)
        }
        return {ONE_HOT: BASE, **embedded}

    def measures(self, runs: Mapping[str, Sequence[Run]]) -> list[Measure]:
        return [Measure("one-hot-and-embedding", identity.one_hot_and_embedding)]

    def table(self, found: Found) -> Table:
        rows = [
            (label, spread(found.perplexity(label)), spread(found.held_out(label)))
            for label in found.runs
        ]
        measured = found.measures["one-hot-and-embedding"]
        differences = listed(
            [
                f"{number(max(parts.values()), 2)} in {dtype} (logits of the identity table "
                f"{number(parts['identity'], 2)}, its gradient {number(parts['gradient'], 2)}, "
                f"logits of any table multiplied in {number(parts['folded'], 2)})"
                for dtype, parts in measured.items()
            ]
        )
        note = f"Largest relative difference between the two as functions: {differences}."
        return Table(("input", "perplexity", "held-out bits"), rows, note)

    def answer(self, found: Found) -> str:
        measured = found.measures["one-hot-and-embedding"]
        worst = {dtype: max(parts.values()) for dtype, parts in measured.items()}
        if all(worst[dtype] <= ROUNDING[dtype] for dtype in worst):
            same = (
                "As a function it is: a one-hot vector times W_ih is a row of W_ih, and the two "
                f"differ by {number(worst['float64'], 2)} of the largest value in float64, which "
                "is rounding; any embedding is one-hot with another W_ih."
            )
        else:
            same = (
                f"No: with the same weights the two differ by {number(worst['float64'], 2)} of the "
                "largest value in float64, which is more than rounding."
            )
        ours = found.perplexity(ONE_HOT)
        verdicts: dict[str, list[str]] = {"lower": [], "higher": [], "alike": []}
        for label in found.runs:
            if label != ONE_HOT:
                theirs = found.perplexity(label)
                said = f"{spread(theirs)} ({label.removeprefix('embedding of ')} numbers)"
                verdicts[compare(theirs, ours)].append(said)
        parts = [
            f"{word} {listed(verdicts[verdict])}"
            for verdict, word in (
                ("lower", "lower:"),
                ("higher", "higher:"),
                ("alike", "no different:"),
            )
            if verdicts[verdict]
        ]
        learned = (
            f"To be learned it is another thing: one-hot ends at perplexity {spread(ours)}, a "
            f"learned embedding at equal steps {'; '.join(parts)}."
            if verdicts["lower"] or verdicts["higher"]
            else "Nor does a learned embedding make a difference at equal steps: one-hot ends at "
            f"perplexity {spread(ours)}, embeddings at {listed(verdicts['alike'])}."
        )
        return f"{same} {learned}"

    def draw(self, found: Found) -> Figure:
        drawn, ax = picture.figure()
        picture.training(ax, found.runs)
        return drawn
