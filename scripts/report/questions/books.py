"""Another book."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures import samples
from scripts.report.question import HELD_OUT, Claims, Found, Question, Table
from scripts.report.statistics import compare, mean, spread
from scripts.report.tasks import Measure, Run, Variant
from scripts.report.variants import BASE

NOVEL = "The Time Machine"
PREFIXES = {
    NOVEL: "time traveller",
    "The War of the Worlds": "the martians",
    "Tiny Shakespeare": "first citizen",
}


class Books(Question):
    name = "books"
    title = "Does another book give other figures? The War of the Worlds, and Shakespeare"
    done = (
        "The same run on the first 10,000 characters of each text, normalised alike, with the "
        "next 2,000 held out; and what each network continues, always with the likeliest character."
    )

    def variants(self) -> dict[str, Variant]:
        return {
            NOVEL: BASE,
            "The War of the Worlds": Variant(
                "rnn-128-war-of-the-worlds", {"data.corpus": "war-of-the-worlds"}
            ),
            "Tiny Shakespeare": Variant(
                "rnn-128-tiny-shakespeare", {"data.corpus": "tiny-shakespeare"}
            ),
        }

    def measures(self, runs: Mapping[str, Sequence[Run]]) -> list[Measure]:
        return [
            Measure(
                f"continuation {label}".replace(" ", "-").lower(),
                samples.continuations,
                [seeds[0]],
                prefix=PREFIXES[label],
                num_chars=60,
            )
            for label, seeds in runs.items()
        ]

    def table(self, found: Found) -> Table:
        texts = [measured["text"] or "–" for measured in found.measures.values()]
        rows = [
            (label, spread(found.perplexity(label)), *found.held_out_cells(label), f"`{text}`")
            for label, text in zip(found.runs, texts, strict=True)
        ]
        return Table(("text", "perplexity", *HELD_OUT, "continuation"), rows)

    day = "2026-11-21"
    answer = (
        "Somewhat: training perplexity ends at 1.92 on The Time Machine, at 2.07 on The War of the "
        "Worlds and at 1.99 on Tiny Shakespeare, which are harder to memorise. Held-out text is "
        "easiest to predict in The Time Machine and hardest in Tiny Shakespeare, at the best (3.03 "
        "bits at epoch 96; seed 0 of the others: 3.16 and 3.29, both at epoch 100) as at the end "
        "of memorising (4.65, 4.99 and 5.31)."
    )

    def claims(self, found: Found) -> Claims:
        novel, war, plays = found.runs
        best = {label: [bits for bits, _ in found.best_held_out(label)] for label in found.runs}
        return {
            "the others are harder to memorise": all(
                compare(found.perplexity(label), found.perplexity(novel)) == "higher"
                for label in (war, plays)
            ),
            "held-out text is easiest in The Time Machine, hardest in Tiny Shakespeare": all(
                mean(each[novel]) < mean(each[war]) < mean(each[plays])
                for each in (best, {label: found.held_out(label) for label in found.runs})
            ),
            "held-out text was at its best before the end": all(map(found.memorised, found.runs)),
        }

    def draw(self, found: Found) -> Figure:
        drawn, axes = picture.figure(2)
        left, right = axes[0]
        picture.training(left, found.runs)
        picture.curves(right, found.runs, "held_out")
        picture.label(right, "epoch", "held-out bits per character")
        return drawn
