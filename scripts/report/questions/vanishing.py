"""Vanishing and exploding gradients, and what is remembered."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from scripts.report import copying, picture, tasks
from scripts.report.measures import memory
from scripts.report.question import Claims, Found, Question, Runs, Table
from scripts.report.statistics import mean, number, percent
from scripts.report.tasks import Measure, Variant
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
NEAR, FAR = 8, 32
# A gradient vanishes that is multiplied by less at each step back.
VANISHING = 0.99


def copy_label(name: str) -> str:
    return f"{name}, copy task"


def at(seeds: Sequence[Sequence[float]], k: int) -> float:
    """The geometric mean over seeds at one lag."""
    return math.exp(mean([math.log(max(seed[k], memory.LOST)) for seed in seeds]))


def factor(seeds: Sequence[Sequence[float]]) -> float:
    """What the norm is multiplied with at each step back, between k = 8 and k = 32."""
    return (at(seeds, FAR) / at(seeds, NEAR)) ** (1 / (FAR - NEAR))


def recalled(found: Found, name: str) -> dict[int, list[float]]:
    """The share of letters rightly repeated, by the dots in between, for each seed."""
    seeds = found.measures[f"recall-{name}"]["right"]
    return {delay: [seed[place] for seed in seeds] for place, delay in enumerate(DELAYS)}


def span(found: Found, name: str) -> int:
    """The most dots over which, and over all fewer, letters are remembered; 0 for none."""
    shares = {delay: mean(seeds or [0]) for delay, seeds in recalled(found, name).items()}
    forgotten = [delay for delay in DELAYS if shares[delay] < REMEMBERED]
    return max((d for d in DELAYS if d < min(forgotten, default=math.inf)), default=0)


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

    def measures(self, runs: Runs) -> list[Measure]:
        words: dict[str, Any] = {"delays": DELAYS, "num_tasks": 100}
        return [
            *(Measure(f"flow-{name}", memory.flow, runs[name]) for name in KINDS),
            *(
                Measure(f"recall-{name}", memory.recall, runs[copy_label(name)], **words)
                for name in KINDS
            ),
        ]

    def table(self, found: Found) -> Table:
        rows = []
        for name in KINDS:
            flow, shares = found.measures[f"flow-{name}"], recalled(found, name)
            words = [percent(mean(shares[dots] or [0])) for dots in (10, 40)]
            words.append(str(span(found, name)))
            for part, after in flow["after"].items():
                norms = [number(at(flow[when][part], k), 2) for when in flow for k in (NEAR, FAR)]
                told = words if part == "hidden" else [""] * len(words)
                rows.append((f"{name}, {part}", *norms, number(factor(after), 3), *told))
        lags = [f"k = {k}, {moment}" for moment in ("before", "after") for k in (NEAR, FAR)]
        recall = ("factor a step", "right after 10 dots", "after 40", "remembers (dots)")
        note = (
            f"Norms relative to k = 0. The factor is that of a step back between k = {NEAR} and k = "
            f"{FAR}, after training. A word is remembered over so many dots if {percent(REMEMBERED)} "
            f"of its letters are right, there and over fewer; chance is {percent(CHANCE)}."
        )
        return Table(("", *lags, *recall), rows, note)

    day = "2026-11-26"
    answer = (
        "After training, each step further back (k from 8 to 32) multiplies the gradient by "
        "0.953 in the RNN, 0.912 in the ReLU-RNN, 0.965 in the GRU, 0.966 in the LSTM and in "
        "the LSTM’s memory: it vanishes in all of them, but more slowly in those with gates. In "
        "the copy task the GRU and the LSTM keep a word over 100 dots at least, the RNN and the "
        "ReLU-RNN over 1 dot."
    )

    def claims(self, found: Found) -> Claims:
        factors = {
            (name, part): factor(seeds)
            for name in KINDS
            for part, seeds in found.measures[f"flow-{name}"]["after"].items()
        }
        spans = {name: span(found, name) for name in KINDS}
        gated = [each for (name, _), each in factors.items() if name in ("GRU", "LSTM")]
        others = [factors[name, "hidden"] for name in ("RNN", "ReLU-RNN")]
        return {
            "the gradient vanishes in all of them": max(factors.values()) < VANISHING,
            "GRU and LSTM keep a word over 100 dots": min(spans["GRU"], spans["LSTM"]) == 100,
            "RNN and ReLU-RNN lose it within 5 dots": max(spans["RNN"], spans["ReLU-RNN"]) < 5,
            "it vanishes more slowly in those with gates": min(gated) > max(others),
        }

    def draw(self, found: Found) -> Figure:
        drawn, ax, recall = picture.figure(2)
        styles: dict[tuple[str, str], dict[str, Any]] = {
            ("before", "hidden"): {"linestyle": ":"},
            ("before", "memory"): {"linestyle": ":", "linewidth": 1},
            ("after", "hidden"): {"linestyle": "-"},
            ("after", "memory"): {"linestyle": "--", "linewidth": 1},
        }
        for place, name in enumerate(KINDS):
            flow = found.measures[f"flow-{name}"]
            for moment, parts in flow.items():
                for part, seeds in parts.items():
                    curve = np.exp(np.log(np.maximum(seeds, memory.LOST)).mean(axis=0))
                    named = f"{name}{', memory' if part == 'memory' else ''}"
                    label = named if moment == "after" else None
                    ax.plot(curve, label=label, color=f"C{place}", **styles[moment, part])
            shares = [[100 * share for share in seeds] for seeds in recalled(found, name).values()]
            if all(shares):
                picture.band(recall, DELAYS, shares, name, color=f"C{place}", marker=".")
        ax.set_yscale("log")
        ax.set_ylim(bottom=max(ax.get_ylim()[0], 1e-20))
        recall.axhline(100 * CHANCE, color=picture.INK, linestyle=":", linewidth=0.8)
        recall.axvline(copying.LONGEST, color=picture.INK, linestyle=":", linewidth=0.8)
        y = "‖∂L_t/∂h_(t-k)‖, relative"
        picture.label(ax, "k (steps back)", y, "dotted: before training")
        picture.label(recall, "dots in between", "letters right (%)", "copy task")
        return drawn
