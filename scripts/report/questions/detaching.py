"""No detach, and how to look further back."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures import graph
from scripts.report.question import Claims, Found, Question, Table
from scripts.report.statistics import compare, mean, number, spread
from scripts.report.tasks import Measure, Run, Variant

WINDOWS = 12
K1S: dict[int, tuple[int, ...]] = {8: (8, 16, 32, 64), 35: (35, 70, 140)}


def label(k1: int, k2: int) -> str:
    return f"k1 = {k1}, k2 = {k2}"


class Detaching(Question):
    name = "detaching"
    title = "What if the state isn't detached, and how does one look further back?"
    done = (
        "Two windows without detaching, then twelve with `retain_graph=True` (the weights left as "
        "they are, since updating them is the next error). And the way to look further back: "
        "BPTT(k1, k2), an update every k1 steps with gradients through the last k2, in "
        "`model.backprop_steps`; 64 units, k1 = 8 for three tenths of the epochs."
    )

    def variants(self) -> dict[str, Variant]:
        return {
            label(k1, k2): Variant(
                f"rnn-64-bptt-{k1}-{k2}",
                {
                    "model.hidden_sizes": [64],
                    "data.num_steps": k1,
                    "model.backprop_steps": k2,
                    "trainer.log_every_n_steps": 20 if k1 == 8 else 5,
                },
                0.3 if k1 == 8 else 1.0,
            )
            for k1, k2s in K1S.items()
            for k2 in k2s
        }

    def measures(self, runs: Mapping[str, Sequence[Run]]) -> list[Measure]:
        return [
            Measure("undetached", graph.undetached, alone=True, windows=WINDOWS),
            Measure("against-reference", graph.against_reference, k1=8, k2=24),
        ]

    def table(self, found: Found) -> Table:
        rows = [
            (
                name,
                spread(found.perplexity(name)),
                spread(found.held_out(name)),
                number(mean(found.speed(name))),
            )
            for name in found.runs
        ]
        cost = found.measures["undetached"]
        kept, detached = cost["kept"], cost["detached"]
        note = (
            f"Undetached, the second window's backward says: “{cost['error']}”. The leaves are the "
            f"weights ({', '.join(cost['leaves'])}); the state is "
            f"{'one too' if cost['state_is_leaf'] else 'none, but made by ' + cost['state_made_by']}, "
            f"and of what that kept for its own backward the first backward has left: "
            f"“{cost['freed']}”. With the graph kept and the weights updated in place: "
            f"“{cost['update_error']}”. Window {WINDOWS} with the graph kept takes "
            f"{number(median_end(kept['milliseconds']), 2)} ms and {number(kept['mebibytes'][-1], 2)} "
            f"MiB, detached {number(median_end(detached['milliseconds']), 2)} ms and "
            f"{number(detached['mebibytes'][-1], 2)} MiB. BPTT(8, 24) is within "
            f"{number(found.measures['against-reference']['difference'], 2)} of the NumPy "
            "reference's gradients over ten updates."
        )
        return Table(("", "perplexity", "held-out bits", "characters/s"), rows, note)

    day = "2026-11-21"
    answer = (
        "The second window's backward fails (“Trying to backward through the graph a second "
        "time”), for the state hangs on the first window's graph, whose saved values are freed once "
        "they are used. Keeping the graph costs 5.9 times the time and 11 times the memory by "
        "window 12, and more with each. BPTT(k1, k2) reaches further back without all that, and "
        "gains nothing here: from 8 to 64 steps (an update every 8) it raises perplexity from 4.49 "
        "to 4.78 for 2.6 times the time; from 35 to 140 steps (an update every 35) from 3.69 to "
        "3.75 for 1.7 times the time."
    )

    def claims(self, found: Found) -> Claims:
        cost = found.measures["undetached"]
        kept, detached = cost["kept"], cost["detached"]
        ends = [
            [found.perplexity(label(k1, k2)) for k2 in (k2s[0], k2s[-1])] for k1, k2s in K1S.items()
        ]
        return {
            "the second window's backward fails": "a second time" in (cost["error"] or ""),
            "keeping the graph costs time and memory, more with each window": grows(
                kept["milliseconds"]
            )
            and grows(kept["mebibytes"])
            and kept["mebibytes"][-1] > 2 * detached["mebibytes"][-1],
            "to look further back lowers no perplexity": all(
                compare(far, near) != "lower" for near, far in ends
            ),
        }

    def draw(self, found: Found) -> Figure:
        drawn, axes = picture.figure(3)
        drawn.set_size_inches(7.4, 3.2)
        memory, perplexity, seconds = axes[0]
        for (key, name), colour in zip(
            (("kept", "graph kept"), ("detached", "detached")), picture.COLOURS[1::-1], strict=True
        ):
            cost = found.measures["undetached"][key]
            windows = range(1, len(cost["mebibytes"]) + 1)
            memory.plot(windows, cost["mebibytes"], ".-", color=colour, label=f"{name}, MiB")
            memory.plot(windows, cost["milliseconds"], ":", color=colour, label=f"{name}, ms")
        memory.set_ylim(bottom=0)
        picture.label(memory, "window", "kept for backward (MiB), time (ms)")
        for (k1, k2s), colour in zip(K1S.items(), picture.COLOURS[2:], strict=False):
            values = [found.perplexity(label(k1, k2)) for k2 in k2s]
            picture.band(perplexity, k2s, values, colour, f"k1 = {k1}")
            speeds = [1e6 / mean(found.speed(label(k1, k2))) for k2 in k2s]
            seconds.plot(k2s, speeds, ".-", color=colour, label=f"k1 = {k1}")
        for ax in (perplexity, seconds):
            ax.set_xscale("log", base=2)
            ax.set_xticks([8, 16, 32, 64, 128], ["8", "16", "32", "64", "128"])
        picture.perplexity_axis(perplexity)
        picture.label(perplexity, "k2 (steps)", "training perplexity")
        picture.label(seconds, "k2 (steps)", "µs per character")
        seconds.set_ylim(bottom=0)
        return drawn


def median_end(values: Sequence[float]) -> float:
    """Of the last three: a single time may be disturbed."""
    return float(np.median(values[-3:]))


def grows(values: Sequence[Any]) -> bool:
    third = max(1, len(values) // 3)
    return float(np.median(values[-third:])) > 1.5 * float(np.median(values[:third]))
