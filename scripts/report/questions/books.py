"""Another book."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures import samples
from scripts.report.question import Found, Question, Table
from scripts.report.statistics import compare, listed, mean, spread
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
            (label, spread(found.perplexity(label)), spread(found.held_out(label)), f"`{text}`")
            for label, text in zip(found.runs, texts, strict=True)
        ]
        return Table(("text", "perplexity", "held-out bits", "continuation"), rows)

    def answer(self, found: Found) -> str:
        ours = found.perplexity(NOVEL)
        others = [label for label in found.runs if label != NOVEL]
        said = [f"{spread(found.perplexity(label))} on {label}" for label in others]
        verdicts = {label: compare(found.perplexity(label), ours) for label in others}
        words = {"lower": "easier", "higher": "harder", "alike": "as hard"}
        if set(verdicts.values()) == {"alike"}:
            first = (
                f"Hardly: training perplexity ends at {spread(ours)} on {NOVEL}, and no further "
                f"from it than its seeds are from each other on the others, at {listed(said)}."
            )
        else:
            alike = {each: [o for o in others if verdicts[o] == each] for each in words}
            ranks = listed(
                [
                    f"{listed(labels)} {'is' if len(labels) == 1 else 'are'} {words[each]} to memorise"
                    for each, labels in alike.items()
                    if labels
                ]
            )
            first = (
                f"Somewhat: training perplexity ends at {spread(ours)} on {NOVEL}, {listed(said)}; "
                f"{ranks}."
            )
        bits = {label: mean(found.held_out(label)) for label in found.runs}
        low, high = min(bits, key=bits.__getitem__), max(bits, key=bits.__getitem__)
        apart = compare(found.held_out(low), found.held_out(high)) != "alike"
        second = (
            f"Held-out text is easiest to predict in {low} ({spread(found.held_out(low))} bits per "
            f"character) and hardest in {high} ({spread(found.held_out(high))})."
            if apart
            else f"Held-out text is as hard to predict in all of them, "
            f"{spread(found.held_out(low))} to {spread(found.held_out(high))} bits per character."
        )
        return f"{first} {second}"

    def draw(self, found: Found) -> Figure:
        drawn, axes = picture.figure(2)
        left, right = axes[0]
        picture.training(left, found.runs)
        picture.curves(right, found.runs, "held_out")
        picture.label(right, "epoch", "held-out bits per character")
        return drawn
