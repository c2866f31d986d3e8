"""No gradient clipping."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.question import Claims, Found, Question, Table
from scripts.report.running import VALUE
from scripts.report.statistics import listed, mean, number, percent, spread
from scripts.report.tasks import Variant

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
        "sampling; not at all with the book's 512 units too. An epoch counts as a blow-up if its "
        "loss is a nat or more above the lowest before it; late is the second half of training."
    )

    def variants(self) -> dict[str, Variant]:
        found = {}
        for sampling in SAMPLINGS:
            sampled = {"data.sampling": "random"} if sampling == "random" else {}
            for clip, (short, options) in CLIPS.items():
                name = f"rnn-128-{sampling}-clip-{short}"
                if short == "norm":  # the runs that other questions have too
                    name = "rnn-128" if sampling == "sequential" else "rnn-128-random"
                seeds = SEEDS if short != "value" else None
                found[f"{sampling}, {clip}"] = Variant(name, {**options, **sampled}, seeds=seeds)
            found[f"{sampling}, none, 512 units"] = Variant(
                f"rnn-512-{sampling}-clip-none",
                {"model.hidden_sizes": [512], **CLIPS["none"][1], **sampled},
                seeds=SEEDS,
            )
        return found

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
                    f"{blown([label], found)} of {len(runs)}",
                    f"{late([label], found)} of {len(runs)}",
                    number(max(run["setback"] for run in runs), 2),
                    "–" if "none" in label or not acted else percent(mean(acted)),
                    number(max(largest), 2),
                )
            )
        header = ("", "perplexity", "blew up", "late", "worst setback (nats)", "the clip acted on", "largest norm")  # fmt: skip
        above = listed(
            [
                f"{percent(mean([run['clipped'] or 0 for run in found.runs[label]]))} ({label})"
                for sampling in SAMPLINGS
                for label in free(sampling)
            ]
        )
        note = (
            "The setback is the most by which an epoch's loss was above the lowest before. The "
            f"clip's share is of the steps looked at, one in five; without clipping {above} of them "
            "had a norm above 1."
        )
        return Table(header, rows, note)

    day = "2026-11-21"
    answer = (
        "Without clipping, training blew up in 8 of 20 runs with sequential batches, each time "
        "late, and in none of 20 with random batches: the claim that only the sequential partition "
        "explodes late is true here. Clipping by norm, which acted on 69 % of the sequential steps "
        "and 54 % of the random steps, kept every run from it."
    )

    def claims(self, found: Found) -> Claims:
        return {
            "sequential batches explode late": late(free("sequential"), found) > 0,
            "random batches don't explode": blown(free("random"), found) == 0,
            "clipped by norm none explodes": blown([f"{s}, by norm, 1" for s in SAMPLINGS], found)
            == 0,
        }

    def draw(self, found: Found) -> Figure:
        drawn, axes = picture.figure(2, 2, sharex=True, sharey="row")
        for column, sampling in enumerate(SAMPLINGS):
            top, bottom = axes[:, column]
            for ax, key in ((top, "peaks"), (bottom, "norms")):
                clipped = found.runs[f"{sampling}, by norm, 1"]
                picture.curves(ax, {"clipped by norm": clipped}, key)
                for label, colour in zip(free(sampling), picture.COLOURS[1:], strict=False):
                    named = f"not clipped, {'512' if '512' in label else '128'} units, each seed"
                    for place, run in enumerate(found.runs[label]):
                        points = run[key][:: max(1, len(run[key]) // 40)]
                        if points:
                            xs, ys = zip(*points, strict=True)
                            if ax is top:
                                ys = tuple(min(y, picture.HIGHEST) for y in ys)
                            shown = None if place else named
                            ax.plot(xs, ys, color=colour, linewidth=0.6, alpha=0.8, label=shown)
            bottom.set_yscale("log")
            bottom.axhline(1, color=picture.INK, linewidth=0.8, linestyle=":")
            left = column == 0
            picture.perplexity_axis(top)
            named = f"highest training perplexity, to {picture.HIGHEST:,}"
            picture.label(top, "", named if left else "", sampling)
            picture.label(bottom, "epoch", "gradient norm before clipping" if left else "")
        return drawn


def free(sampling: str) -> list[str]:
    """The labels of the runs without clipping."""
    return [f"{sampling}, none", f"{sampling}, none, 512 units"]


def blown(labels: Sequence[str], found: Found) -> int:
    """The runs that blew up, or ended with no number at all."""
    return sum(
        bool(run["blow_ups"]) or run["stopped"] is not None
        for label in labels
        for run in found.runs[label]
    )


def late(labels: Sequence[str], found: Found) -> int:
    """The runs that did so in the second half of training."""
    half = max(run["epochs"] for runs in found.runs.values() for run in runs) / 2
    return sum(
        any(epoch > half for epoch in run["blow_ups"])
        or (run["stopped"] is not None and run["epochs"] > half)
        for label in labels
        for run in found.runs[label]
    )
