"""Vanishing and exploding gradients, and what is remembered."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from scripts.report import copying, picture, tasks
from scripts.report.measures import memory
from scripts.report.question import Claims, Found, Question, Table
from scripts.report.statistics import mean, number, percent
from scripts.report.tasks import Measure, Run, Variant
from scripts.report.variants import small

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN": ("rnn", {}),
    "ReLU-RNN": ("rnn", {"cell_options.nonlinearity": "relu"}),
    "GRU": ("gru", {}),
    "LSTM": ("lstm", {}),
}
DELAYS = [1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100]
CHANCE = 1 / len(copying.LETTERS)
# A word counts as remembered if so many of its letters are right.
REMEMBERED = 0.75
FAR = 32
# A gradient vanishes that is multiplied by less at each step back.
VANISHING = 0.99


def copy_label(name: str) -> str:
    return f"{name}, copy task"


class Vanishing(Question):
    name = "vanishing"
    title = "Vanishing and exploding gradients: how far back is a loss felt, and how long does a cell remember?"
    done = (
        "The norm of ∂L_t/∂h_(t-k) relative to k = 0 on held-out text (`charlm.evaluation.gradient_flow`; for "
        "the LSTM also by its memory), of 64 units before and after training by Adam for two fifths "
        f"of the epochs. And a copy task: {copying.WORD} letters out of {len(copying.LETTERS)}, 1 to "
        f"{copying.LONGEST} dots, a question mark, the letters again; for a quarter of the epochs."
    )

    def variants(self) -> dict[str, Variant]:
        novel = {name: small(cell, **options) for name, (cell, options) in KINDS.items()}
        task = {
            "data.path": str(tasks.FOLDER / copying.FILE),
            "data.normalisation": "none",
            "data.max_chars": None,
            "data.val_size": copying.HELD_OUT,
            "data.num_steps": 64,
            "trainer.log_every_n_steps": 50,
            "samples.every_n_epochs": 0,
        }
        copies = {
            copy_label(name): Variant(
                f"copy-{variant.name}",
                {**variant.options, **task, "model.learning_rate": 0.003},
                0.25,
            )
            for name, variant in novel.items()
        }
        return {**novel, **copies}

    def measures(self, runs: Mapping[str, Sequence[Run]]) -> list[Measure]:
        flows = [Measure(f"flow-{name}", memory.flow, list(runs[name])) for name in KINDS]
        recalls = [
            Measure(
                f"recall-{name}",
                memory.recall,
                list(runs[copy_label(name)]),
                delays=DELAYS,
                num_tasks=100,
            )
            for name in KINDS
        ]
        return [*flows, *recalls]

    def table(self, found: Found) -> Table:
        rows = []
        for name in KINDS:
            flow = found.measures[f"flow-{name}"]
            for part in flow["after"]:
                rows.append(
                    (
                        f"{name}, {part}",
                        *(
                            number(at(flow[moment][part], k), 2)
                            for moment in flow
                            for k in (8, FAR)
                        ),
                        number(factor(flow["after"][part]), 3),
                        *(
                            (percent(share(found, name, 10)), percent(share(found, name, 40)))
                            if part == "hidden"
                            else ("", "")
                        ),
                        str(span(found, name)) if part == "hidden" else "",
                    )
                )
        header = (
            "", "k = 8, before", f"k = {FAR}, before", "k = 8, after", f"k = {FAR}, after",
            "factor a step", "right after 10 dots", "after 40", "remembers (dots)",
        )  # fmt: skip
        note = (
            f"Norms relative to k = 0. The factor is that of a step back between k = 8 and k = {FAR}, "
            f"after training. A word is remembered over so many dots if {percent(REMEMBERED)} of its "
            f"letters are right, there and over fewer; chance is {percent(CHANCE)}."
        )
        return Table(header, rows, note)

    day = "2026-11-21"
    answer = (
        "After training, each step further back (k from 8 to 32) multiplies the gradient by 0.954 "
        "in the RNN, 0.919 in the ReLU-RNN, 0.969 in the GRU, 0.963 in the LSTM and 0.962 in the "
        "LSTM’s memory: it vanishes in all of them. In the copy task the GRU and the LSTM keep a "
        "word over 100 dots at least, the RNN and the ReLU-RNN over 1 dot. The gradient that fades "
        "least is the GRU’s, one of those that remember longest."
    )

    def claims(self, found: Found) -> Claims:
        factors = {
            (name, part): factor(seeds)
            for name in KINDS
            for part, seeds in found.measures[f"flow-{name}"]["after"].items()
        }
        spans = {name: span(found, name) for name in KINDS}
        return {
            "the gradient vanishes in all of them": max(factors.values()) < VANISHING,
            "GRU and LSTM keep a word over 100 dots": min(spans["GRU"], spans["LSTM"]) == 100,
            "RNN and ReLU-RNN lose it within 5 dots": max(spans["RNN"], spans["ReLU-RNN"]) < 5,
            "the GRU's gradient fades least": max(factors, key=lambda key: factors[key])[0]
            == "GRU",
        }

    def draw(self, found: Found) -> Figure:
        drawn, axes = picture.figure(2)
        left, right = axes[0]
        for name, colour in zip(KINDS, picture.COLOURS, strict=False):
            flow = found.measures[f"flow-{name}"]
            for moment, dash in (("before", ":"), ("after", "-")):
                for part, seeds in flow[moment].items():
                    curve = np.exp(np.log(np.maximum(seeds, memory.LOST)).mean(axis=0))
                    is_memory = part == "memory"
                    named = f"{name}{', memory' if is_memory else ''}"
                    left.plot(
                        range(len(curve)),
                        curve,
                        "--" if is_memory and moment == "after" else dash,
                        color=colour,
                        linewidth=1 if is_memory else 1.5,
                        label=named if moment == "after" else None,
                    )
            by_delay = zip(*found.measures[f"recall-{name}"]["right"], strict=True)
            percents = [[100 * value for value in values] for values in by_delay]
            if percents:
                picture.band(right, DELAYS, percents, colour, name)
        left.set_yscale("log")
        left.set_ylim(bottom=max(left.get_ylim()[0], 1e-20))
        right.axhline(100 * CHANCE, color=picture.INK, linestyle=":", linewidth=0.8)
        right.axvline(copying.LONGEST, color=picture.INK, linestyle=":", linewidth=0.8)
        picture.label(
            left, "k (steps back)", "‖∂L_t/∂h_(t-k)‖, relative", "dotted: before training"
        )
        picture.label(right, "dots in between", "letters right (%)", "copy task")
        return drawn


def at(seeds: Sequence[Sequence[float]], k: int) -> float:
    """The geometric mean over seeds at one lag."""
    return math.exp(mean([math.log(max(seed[k], memory.LOST)) for seed in seeds]))


def factor(seeds: Sequence[Sequence[float]], near: int = 8) -> float:
    """What the norm is multiplied with at each step back, between k = 8 and k = 32."""
    return (at(seeds, FAR) / at(seeds, near)) ** (1 / (FAR - near))


def share(found: Found, name: str, delay: int) -> float:
    seeds = found.measures[f"recall-{name}"]["right"]
    return mean([seed[DELAYS.index(delay)] for seed in seeds]) if seeds else 0.0


def span(found: Found, name: str) -> int:
    """The most dots over which, and over all fewer, letters are remembered; 0 for none."""
    longest = 0
    for delay in DELAYS:
        if share(found, name, delay) < REMEMBERED:
            break
        longest = delay
    return longest
