"""Is one-hot the same as an embedding?"""

from scripts.report.measures.identity import one_hot_and_embedding
from scripts.report.question import Claims, Found, Question, Runs, Table
from scripts.report.statistics import higher, listed, lower, number
from scripts.report.tasks import Measure, Variant
from scripts.report.variants import BASE

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
        return {"one-hot": BASE, **embedded}

    def measures(self, runs: Runs) -> list[Measure]:
        return [Measure("one-hot-and-embedding", one_hot_and_embedding)]

    def table(self, found: Found) -> Table:
        differences = [
            f"{number(max(parts.values()), 2)} in {dtype} (logits of the identity table "
            f"{number(parts['identity'], 2)}, its gradient {number(parts['gradient'], 2)}, "
            f"logits of any table multiplied in {number(parts['folded'], 2)})"
            for dtype, parts in found.measures["one-hot-and-embedding"].items()
        ]
        note = f"Largest relative difference between the two as functions: {listed(differences)}."
        return found.table("input", found.learning(), note)

    day = "2026-11-26"
    answer = (
        "As a function it is: a one-hot vector times W_ih is a row of W_ih, the two differ by "
        "rounding (4e-16 of the largest value in float64), and any embedding is one-hot with "
        "another W_ih. To be learned it is another thing: at equal steps one-hot ends at "
        "perplexity 1.92, embeddings of 28 and of 128 numbers lower, at 1.76 and 1.60, one of 8 "
        "higher, at 2.22. That is memorising: held-out text was at its best long before "
        "(one-hot: 3.03 bits at epoch 96; embeddings of 8, 28 and 128: 2.84 at epoch 64, 2.74 "
        "at 56, 2.72 at 44), and ends at 4.68 to 5.39."
    )

    def claims(self, found: Found) -> Claims:
        measured = found.measures["one-hot-and-embedding"]
        one_hot, of_8, of_28, of_128 = map(found.perplexity, found.runs)
        return {
            "the two are the same function": all(
                max(parts.values()) <= ROUNDING[dtype] for dtype, parts in measured.items()
            ),
            "28 and 128 numbers end lower": lower(of_28, one_hot) and lower(of_128, one_hot),
            "8 numbers end higher": higher(of_8, one_hot),
            "held-out text was at its best before the end": all(map(found.memorised, found.runs)),
        }
