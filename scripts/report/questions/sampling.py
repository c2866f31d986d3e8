"""Sampling instead of the likeliest character."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures import samples
from scripts.report.question import Found, Question, Table
from scripts.report.statistics import compare, mean, number, percent
from scripts.report.tasks import Measure, Run, Variant
from scripts.report.variants import BASE

EXPONENTS: list[float | None] = [0.5, 0.75, 1.0, 1.5, 2.0, 4.0, None]


class Sampling(Question):
    name = "sampling"
    title = "Sampling instead of argmax: what does the exponent α on the distribution change?"
    done = (
        "2,000 characters from each trained network after “time traveller”, drawn from p^α "
        "(renormalised; in `charlm generate` the temperature is 1/α); argmax is α = ∞. An 8-gram "
        "counts as repeated if it stood in the text before; a word is real if it stands in the novel."
    )

    def variants(self) -> dict[str, Variant]:
        return {"trained": BASE}

    def measures(self, runs: Mapping[str, Sequence[Run]]) -> list[Measure]:
        trained = list(runs["trained"])
        return [
            Measure("sharpened", samples.sharpened, trained, exponents=EXPONENTS, num_chars=2000)
        ]

    def table(self, found: Found) -> Table:
        rows = [
            (
                "argmax" if exponent == "None" else exponent,
                *(percent(mean(each[key])) for key in ("repeated", "copied", "words")),
                number(mean(each["entropy"]), 2),
                f"`{each['text'][len(samples.PREFIX) :][:60]}`",
            )
            for exponent, each in found.measures["sharpened"].items()
        ]
        header = ("α", "repeated", "copied", "real words", "entropy (nats)", "after the prefix")
        note = "Copied: 8-grams that stand in the 10,000 characters trained on."
        return Table(header, rows, note)

    def answer(self, found: Found) -> str:
        measured = found.measures["sharpened"]
        greedy, plain, flat = (measured[key] for key in ("None", "1.0", "0.5"))
        repeats = compare(plain["repeated"], greedy["repeated"])
        change = {"lower": "falls", "higher": "rises", "alike": "stays"}
        first = (
            f"From argmax to drawing from the distribution itself (α = 1) the share of repeated "
            f"8-grams {change[repeats]} from {percent(mean(greedy['repeated']))} to "
            f"{percent(mean(plain['repeated']))}, and real words go from "
            f"{percent(mean(greedy['words']))} to {percent(mean(plain['words']))}."
        )
        looped = sum(share > 0.5 for share in greedy["repeated"])
        loops = (
            f" Argmax ends in a loop, of most of what it writes, with {looped} of "
            f"{len(greedy['repeated'])} networks."
            if looped
            else " Argmax doesn't loop here."
        )
        words = compare(flat["words"], plain["words"])
        entropies = (
            f"from {number(mean(plain['entropy']), 2)} to {number(mean(flat['entropy']), 2)} nats"
        )
        rises = compare(flat["entropy"], plain["entropy"]) == "higher"
        second = (
            f" An exponent below 1 flattens the distribution ({entropies} at α = 0.5), and "
            if rises
            else f" An exponent of 0.5 takes the entropy {entropies}, and "
        ) + {
            "lower": f"costs words: {percent(mean(flat['words']))} of them are real.",
            "higher": f"even more words are real, {percent(mean(flat['words']))}.",
            "alike": f"as many words are real, {percent(mean(flat['words']))}.",
        }[words]
        return first + loops + second

    def draw(self, found: Found) -> Figure:
        drawn, axes = picture.figure(2)
        left, right = axes[0]
        measured = found.measures["sharpened"]
        places = range(len(measured))
        names = ["argmax" if key == "None" else key.removesuffix(".0") for key in measured]
        for (key, label), colour in zip(
            (
                ("repeated", "repeated 8-grams"),
                ("copied", "copied 8-grams"),
                ("words", "real words"),
            ),
            picture.COLOURS,
            strict=False,
        ):
            values = [[100 * value for value in each[key]] for each in measured.values()]
            picture.band(left, list(places), values, colour, label)
        entropies = [mean(each["entropy"]) for each in measured.values()]
        right.plot(places, entropies, ".-", color=picture.COLOURS[3])
        for ax in (left, right):
            ax.set_xticks(places, names)
        picture.label(left, "exponent α", "share (%)")
        picture.label(right, "exponent α", "entropy of a draw (nats)")
        return drawn
