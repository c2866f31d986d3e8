"""No detach, and how to look further back."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures.graph import against_reference, undetached
from scripts.report.question import Claims, Columns, Found, Question, Runs, Table
from scripts.report.statistics import lower, mean, number
from scripts.report.tasks import Measure, Variant

WINDOWS = 12
K1S: dict[int, tuple[int, ...]] = {8: (8, 16, 32, 64), 35: (35, 70, 140)}


def label(k1: int, k2: int) -> str:
    return f"k1 = {k1}, k2 = {k2}"


def grows(values: Sequence[float]) -> bool:
    third = max(1, len(values) // 3)
    return float(np.median(values[-third:])) > 1.5 * float(np.median(values[:third]))


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

    def measures(self, runs: Runs) -> list[Measure]:
        return [
            Measure("undetached", undetached, alone=True, windows=WINDOWS),
            Measure("against-reference", against_reference, k1=8, k2=24),
        ]

    def table(self, found: Found) -> Table:
        columns: Columns = {
            "perplexity": found.perplexity,
            "held-out bits": found.held_out,
            "characters/s": found.mean_speed,
        }
        cost = found.measures["undetached"]

        def of_last_window(way: str) -> str:
            # Of the last three the median: a single time may be disturbed.
            milliseconds = float(np.median(cost[way]["milliseconds"][-3:]))
            return f"{number(milliseconds, 2)} ms and {number(cost[way]['mebibytes'][-1], 2)} MiB"

        state = "one too" if cost["state_is_leaf"] else f"none, but made by {cost['state_made_by']}"
        difference = found.measures["against-reference"]["difference"]
        note = (
            f"Undetached, the second window's backward says: “{cost['error']}”. The leaves are the "
            f"weights ({', '.join(cost['leaves'])}); the state is {state}, and of what that kept for "
            f"its own backward the first backward has left: “{cost['freed']}”. With the graph kept "
            f"and the weights updated in place: “{cost['update_error']}”. Window {WINDOWS} with the "
            f"graph kept takes {of_last_window('kept')}, detached {of_last_window('detached')}. "
            f"BPTT(8, 24) is within {number(difference, 2)} of the NumPy reference's gradients over "
            "ten updates."
        )
        return found.table("", columns, note)

    day = "2026-11-26"
    answer = (
        "The second window's backward fails (“Trying to backward through the graph a second "
        "time”), for the state hangs on the first window's graph, whose saved values are freed "
        "once they are used. Keeping the graph costs 11 times the memory by window 12, and more "
        "with each, and 27 times the time: so far back gradients have vanished to denormal "
        "numbers, which this processor multiplies slowly (flushed to zero, 4 times the time). "
        "BPTT(k1, k2) reaches further back without all that, and gains nothing here: from 8 to "
        "64 steps (an update every 8) it raises perplexity from 4.48 to 4.78 for 2.2 times the "
        "time; from 35 to 140 steps (an update every 35) from 3.66 to 3.75 for 2.2 times the "
        "time."
    )

    def claims(self, found: Found) -> Claims:
        cost = found.measures["undetached"]
        kept, detached = cost["kept"], cost["detached"]
        return {
            "the second window's backward fails": "a second time" in (cost["error"] or ""),
            "keeping the graph costs time and memory, more with each window": grows(
                kept["milliseconds"]
            )
            and grows(kept["mebibytes"])
            and kept["mebibytes"][-1] > 2 * detached["mebibytes"][-1],
            "to look further back lowers no perplexity": not any(
                lower(found.perplexity(label(k1, k2s[-1])), found.perplexity(label(k1, k2s[0])))
                for k1, k2s in K1S.items()
            ),
        }

    def draw(self, found: Found) -> Figure:
        drawn, memory, perplexity, seconds = picture.figure(3)
        drawn.set_size_inches(7.4, 3.2)
        for key, name, colour in (("kept", "graph kept", "C1"), ("detached", "detached", "C0")):
            cost = found.measures["undetached"][key]
            windows = range(1, len(cost["mebibytes"]) + 1)
            memory.plot(windows, cost["mebibytes"], ".-", color=colour, label=f"{name}, MiB")
            memory.plot(windows, cost["milliseconds"], ":", color=colour, label=f"{name}, ms")
        memory.set_ylim(bottom=0)
        picture.label(memory, "window", "kept for backward (MiB), time (ms)")
        for (k1, k2s), colour in zip(K1S.items(), ("C2", "C3"), strict=True):
            values = [found.perplexity(label(k1, k2)) for k2 in k2s]
            style = {"color": colour, "marker": "."}
            picture.band(perplexity, k2s, values, f"k1 = {k1}", **style)
            speeds = [1e6 / mean(found.speed(label(k1, k2))) for k2 in k2s]
            seconds.plot(k2s, speeds, label=f"k1 = {k1}", **style)
        for ax in (perplexity, seconds):
            ax.set_xscale("log", base=2)
            picture.plain_ticks(ax.xaxis, [8, 16, 32, 64, 128])
        picture.perplexity_axis(perplexity)
        picture.label(perplexity, "k2 (steps)", "training perplexity")
        picture.label(seconds, "k2 (steps)", "µs per character")
        seconds.set_ylim(bottom=0)
        return drawn
