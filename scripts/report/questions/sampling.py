"""Sampling instead of the likeliest character."""

from typing import Any

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures.samples import PREFIX, sharpened
from scripts.report.question import Claims, Found, Question, Runs, Table
from scripts.report.statistics import higher, lower, mean, number, percent
from scripts.report.tasks import Measure, Variant
from scripts.report.variants import BASE

EXPONENTS: list[float | None] = [0.5, 0.75, 1.0, 1.5, 2.0, 4.0, None]
SHARES = {"repeated": "repeated 8-grams", "copied": "copied 8-grams", "words": "real words"}


def name_of(exponent: str) -> str:
    return "argmax" if exponent == "None" else exponent


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

    def measures(self, runs: Runs) -> list[Measure]:
        options: dict[str, Any] = {"exponents": EXPONENTS, "num_chars": 2000}
        return [Measure("sharpened", sharpened, runs["trained"], **options)]

    def table(self, found: Found) -> Table:
        rows = [
            (
                name_of(exponent),
                *(percent(mean(drawn[key])) for key in SHARES),
                number(mean(drawn["entropy"]), 2),
                f"`{drawn['text'][len(PREFIX) :][:60]}`",
            )
            for exponent, drawn in found.measures["sharpened"].items()
        ]
        header = ("α", "repeated", "copied", "real words", "entropy (nats)", "after the prefix")
        note = "Copied: 8-grams that stand in the 10,000 characters trained on."
        return Table(header, rows, note)

    day = "2026-11-26"
    answer = (
        "From argmax to drawing from the distribution itself (α = 1) the share of repeated "
        "8-grams falls from 33 % to 3.6 %, and that of real words from 59 % to 43 %. Argmax "
        "ends in a loop, of most of what it writes, with 1 of 5 networks. An exponent below 1 "
        "flattens the distribution (from 0.92 to 1.9 nats at α = 0.5), and costs words: 22 % of "
        "them are real."
    )

    def claims(self, found: Found) -> Claims:
        measured = found.measures["sharpened"]
        greedy, plain, flat = (measured[key] for key in ("None", "1.0", "0.5"))
        return {
            "argmax repeats more than drawing": lower(plain["repeated"], greedy["repeated"]),
            "argmax writes more real words": mean(greedy["words"]) > mean(plain["words"]),
            "argmax ends in a loop with some networks": max(greedy["repeated"]) > 0.5,
            "α = 0.5 flattens the distribution": higher(flat["entropy"], plain["entropy"]),
            "α = 0.5 costs words": lower(flat["words"], plain["words"]),
        }

    def draw(self, found: Found) -> Figure:
        drawn, left, right = picture.figure(2)
        measured = found.measures["sharpened"]
        places = range(len(measured))
        for key, label in SHARES.items():
            shares = [[100 * share for share in each[key]] for each in measured.values()]
            picture.band(left, places, shares, label, marker=".")
        entropies = [mean(each["entropy"]) for each in measured.values()]
        right.plot(places, entropies, ".-", color="C3")
        for ax in (left, right):
            ax.set_xticks(places, [name_of(exponent).removesuffix(".0") for exponent in measured])
        picture.label(left, "exponent α", "share (%)")
        picture.label(right, "exponent α", "entropy of a draw (nats)")
        return drawn
