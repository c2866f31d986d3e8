"""`use_random_iter=True` over a sequential iterator."""

from scripts.report.question import Claims, Found, Question, Table
from scripts.report.statistics import higher, lower
from scripts.report.tasks import Variant
from scripts.report.variants import BASE, RANDOM

RESET, TRUE_RANDOM, CARRIED = (
    "sequential, state reset",
    "random sampling",
    "sequential, state carried",
)


class RandomIter(Question):
    name = "random-iter"
    title = "`use_random_iter=True` with an iterator that was built sequential: what does that run measure?"
    done = (
        "The chapter's last cell hands the training loop an iterator that was built sequential: "
        "the batches are those of the sequential partition, and only the state is reset at each "
        "(`data.carry: false`). Against it, random sampling, and the sequential partition with "
        "its state carried."
    )

    def variants(self) -> dict[str, Variant]:
        return {
            RESET: Variant("rnn-128-sequential-reset", {"data.carry": False}),
            TRUE_RANDOM: RANDOM,
            CARRIED: BASE,
        }

    def table(self, found: Found) -> Table:
        columns = {"perplexity": found.perplexity, "held-out bits": found.held_out}
        note = "Held-out text is read with its state carried, whatever the training did."
        return found.table("batches", columns, note)

    day = "2026-11-26"
    answer = (
        "It measures the sequential partition without its memory, not random sampling: its "
        "perplexity is 2.36, lower than the 2.44 of windows that are truly drawn at random. "
        "With the state carried, the same batches end at 1.92: that difference is what the "
        "reset at each batch costs."
    )

    def claims(self, found: Found) -> Claims:
        reset, random, carried = map(found.perplexity, (RESET, TRUE_RANDOM, CARRIED))
        return {
            "it ends lower than random sampling": lower(reset, random),
            "it ends higher than with the state carried": higher(reset, carried),
        }
