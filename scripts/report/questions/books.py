"""Another book."""

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures.samples import continuations
from scripts.report.question import Claims, Found, Question, Runs, Table
from scripts.report.statistics import higher, mean
from scripts.report.tasks import Measure, Variant
from scripts.report.variants import BASE

PREFIXES = {
    "The Time Machine": "time traveller",
    "The War of the Worlds": "the martians",
    "Tiny Shakespeare": "first citizen",
}


def continuation(book: str) -> str:
    """The measure's name."""
    return f"continuation-{book.replace(' ', '-').lower()}"


class Books(Question):
    name = "books"
    title = "Does another book give other figures? The War of the Worlds, and Shakespeare"
    done = (
        "The same run on the first 10,000 characters of each text, normalised alike, with the "
        "next 2,000 held out; and what each network continues, always with the likeliest character."
    )

    def variants(self) -> dict[str, Variant]:
        novel, *others = PREFIXES
        corpora = {book: book.lower().replace(" ", "-").removeprefix("the-") for book in others}
        return {novel: BASE} | {
            book: Variant(f"rnn-128-{corpus}", {"data.corpus": corpus})
            for book, corpus in corpora.items()
        }

    def measures(self, runs: Runs) -> list[Measure]:
        return [
            Measure(
                continuation(book), continuations, seeds[:1], prefix=PREFIXES[book], num_chars=60
            )
            for book, seeds in runs.items()
        ]

    def table(self, found: Found) -> Table:
        def continued(book: str) -> str:
            return f"`{found.measures[continuation(book)]['text'] or '–'}`"

        return found.table("text", {**found.learning(), "continuation": continued})

    day = "2026-11-26"
    answer = (
        "Somewhat: training perplexity ends at 1.92 on The Time Machine, at 2.06 on The War of "
        "the Worlds and at 1.98 on Tiny Shakespeare, which are harder to memorise. Held-out "
        "text is easiest to predict in The Time Machine and hardest in Tiny Shakespeare, at the "
        "best (3.03 bits at epoch 96, 3.16 at 104, 3.29 at 84) as at the end of memorising "
        "(4.68, 4.96 and 5.33)."
    )

    def claims(self, found: Found) -> Claims:
        novel, war, plays = map(found.perplexity, PREFIXES)
        return {
            "the others are harder to memorise": higher(war, novel) and higher(plays, novel),
            "held-out text is easiest in The Time Machine, hardest in Tiny Shakespeare": all(
                mean(bits[0]) < mean(bits[1]) < mean(bits[2])
                for bits in (
                    [found.best_held_out(book) for book in PREFIXES],
                    [found.held_out(book) for book in PREFIXES],
                )
            ),
            "held-out text was at its best before the end": all(map(found.memorised, PREFIXES)),
        }

    def draw(self, found: Found) -> Figure:
        drawn, left, right = picture.figure(2)
        picture.training(left, found.runs)
        picture.curves(right, found.runs, "held_out")
        picture.label(right, "epoch", "held-out bits per character")
        return drawn
