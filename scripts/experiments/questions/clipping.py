"""No gradient clipping."""

from typing import Any

from matplotlib.figure import Figure

from experiments import picture
from experiments.question import Found, Question, Table
from experiments.running import VALUE
from experiments.statistics import listed, mean, number, percent, spread
from experiments.tasks import Variant

SEEDS = 10
CLIPS: dict[str, tuple[str, dict[str, Any]]] = {
    "by norm, 1": ("norm", {}),
    f"by value, {VALUE}": (
        "value",
        {"trainer.gradient_clip_algorithm": "value", "trainer.gradient_clip_val": VALUE},
    ),
    "none": ("none", {"trainer.gradient_clip_val": None}),
}
SAMPLINGS = ("sequential", "random")


class Clipping(Question):
    name = "clipping"
    title = (
        "What happens without gradient clipping? Does only the sequential partition explode late?"
    )
    done = (
        "Clipping by norm, by value and not at all, with sequential partition and with random "
        "sampling. An epoch counts as a blow-up if its loss is a nat or more above the lowest "
        "before it; late is the second half of training."
    )

    def variants(self) -> dict[str, Variant]:
        return {
            f"{sampling}, {clip}": Variant(
                # The shared names of the two that are clipped by norm.
                {"sequential norm": "rnn-128", "random norm": "rnn-128-random"}.get(
                    f"{sampling} {short}", f"rnn-128-{sampling}-clip-{short}"
                ),
                {**options, **({"data.sampling": "random"} if sampling == "random" else {})},
                seeds=SEEDS,
            )
            for sampling in SAMPLINGS
            for clip, (short, options) in CLIPS.items()
        }

    def table(self, found: Found) -> Table:
        rows = []
        for label, runs in found.runs.items():
            key = "clipped_by_value" if "value" in label else "clipped"
            acted = [run[key] for run in runs if run[key] is not None]
            largest = [max((y for _, y in run["norms"]), default=0.0) for run in runs]
            rows.append(
                (
                    label,
                    spread(found.perplexity(label)),
                    f"{blown(found, label)} of {len(runs)}",
                    f"{late(found, label)} of {len(runs)}",
                    "–" if "none" in label else percent(mean(acted)),
                    number(max(largest), 2),
                )
            )
        header = ("", "perplexity", "blew up", "blew up late", "the clip acted on", "largest norm")
        note = (
            "The clip's share is of the steps looked at, one in five; without clipping "
            + listed(
                [
                    f"{percent(mean([run['clipped'] for run in found.runs[f'{s}, none']]))} of "
                    f"them had a norm above 1 with {s} batches"
                    for s in SAMPLINGS
                ]
            )
            + "."
        )
        return Table(header, rows, note)

    def answer(self, found: Found) -> str:
        labels = {sampling: f"{sampling}, none" for sampling in SAMPLINGS}
        seeds = {s: len(found.runs[label]) for s, label in labels.items()}
        early = {s: blown(found, label) for s, label in labels.items()}
        end = {s: late(found, label) for s, label in labels.items()}
        counts = listed(
            [f"{early[s]} of {seeds[s]} runs with {s} batches (late: {end[s]})" for s in SAMPLINGS]
        )
        any_blown = early["sequential"] + early["random"] > 0
        first = (
            f"Without clipping, training blew up at least once in {counts}."
            if any_blown
            else f"Nothing bursts: none of {seeds['sequential']} sequential and {seeds['random']} "
            "random runs without clipping ever lost a nat of what it had."
        )
        if end["sequential"] and not end["random"]:
            verdict = "The claim that only the sequential partition explodes late is true here."
        elif end["sequential"] and end["random"]:
            verdict = (
                "The claim that only the sequential partition explodes late is false: both do"
                + (
                    "."
                    if end["sequential"] == end["random"]
                    else f", the {max(end, key=end.__getitem__)} one more often."
                )
            )
        elif end["random"]:
            verdict = (
                "The claim that only the sequential partition explodes late is the wrong way "
                "round: only random sampling does."
            )
        else:
            verdict = (
                "The claim that only the sequential partition explodes late isn't borne out: "
                "neither does."
            )
        clipped = {s: f"{s}, by norm, 1" for s in SAMPLINGS}
        kept = sum(blown(found, label) for label in clipped.values())
        acted = listed(
            [
                f"{percent(mean([run['clipped'] for run in found.runs[clipped[s]]]))} of the {s} steps"
                for s in SAMPLINGS
            ]
        )
        third = f"Clipping by norm, which acted on {acted}, " + (
            "kept every run from it."
            if any_blown and not kept
            else f"left {kept} runs that blew up all the same."
            if kept
            else "had nothing to prevent."
        )
        return f"{first} {verdict} {third}"

    def draw(self, found: Found) -> Figure:
        drawn, axes = picture.figure(2, 2, sharex=True, sharey="row")
        for column, sampling in enumerate(SAMPLINGS):
            top, bottom = axes[:, column]
            for clip, colour in (("by norm, 1", picture.COLOURS[0]), ("none", picture.COLOURS[1])):
                for number_, run in enumerate(found.runs[f"{sampling}, {clip}"]):
                    label = f"clip: {clip}" if number_ == 0 else None
                    for ax, key in ((top, "curve"), (bottom, "norms")):
                        points = run[key][:: max(1, len(run[key]) // picture.POINTS)]
                        if points:
                            ax.plot(
                                *zip(*points, strict=True),
                                color=colour,
                                linewidth=0.7,
                                alpha=0.7,
                                label=label,
                            )
            bottom.set_yscale("log")
            bottom.axhline(1, color=picture.INK, linewidth=0.8, linestyle=":")
            left = column == 0
            picture.perplexity_axis(top)
            picture.label(top, "", "training perplexity" if left else "", f"{sampling}: each seed")
            picture.label(bottom, "epoch", "gradient norm before clipping" if left else "")
        return drawn


def blown(found: Found, label: str) -> int:
    """The runs that blew up, or ended with no number at all."""
    return sum(bool(run["blow_ups"]) or run["stopped"] is not None for run in found.runs[label])


def late(found: Found, label: str) -> int:
    """The runs that did so in the second half of training."""
    full = max(run["epochs"] for runs in found.runs.values() for run in runs)
    return sum(
        any(epoch > full / 2 for epoch in run["blow_ups"])
        or (run["stopped"] is not None and run["epochs"] > full / 2)
        for run in found.runs[label]
    )
