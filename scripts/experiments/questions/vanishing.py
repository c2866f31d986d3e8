"""Vanishing and exploding gradients, and what is remembered."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments import copying, picture
from experiments.measures import memory
from experiments.question import Found, Question, Table
from experiments.statistics import listed, mean, number, percent
from experiments.tasks import FOLDER, Measure, Run, Variant
from experiments.variants import ADAM_SHARE, small

KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "RNN": ("rnn", {}),
    "ReLU-RNN": ("rnn", {"nonlinearity": "relu"}),
    "GRU": ("gru", {}),
    "LSTM": ("lstm", {}),
}
DELAYS = [1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 35, 40, 50, 60]
CHANCE = 1 / len(copying.LETTERS)
# A letter counts as remembered if it is right so often.
REMEMBERED = 0.5
FAR = 32


def copy_label(name: str) -> str:
    return f"{name}, copy task"


class Vanishing(Question):
    name = "vanishing"
    title = "Vanishing and exploding gradients: how far back is a loss felt, and how long does a cell remember?"
    done = (
        "The norm of ∂L_t/∂h_(t-k) relative to k = 0 on held-out text (`charlm.gradient_flow`; for "
        "the LSTM also by its memory), of 64 units before and after training by Adam for two fifths "
        f"of the epochs. And a copy task: one of {len(copying.LETTERS)} letters, 1 to "
        f"{copying.LONGEST} dots, a question mark, the letter again."
    )

    def variants(self) -> dict[str, Variant]:
        novel = {name: small(cell, **options) for name, (cell, options) in KINDS.items()}
        task = {
            "data.path": str(FOLDER / "copy-task.txt"),
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
                ADAM_SHARE / 4,
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
                num_tasks=200,
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
            f"after training. A letter is remembered over so many dots if it is right at least half "
            f"the time; chance is {percent(CHANCE)}."
        )
        return Table(header, rows, note)

    def answer(self, found: Found) -> str:
        def described(name: str, part: str) -> str:
            value = factor(found.measures[f"flow-{name}"]["after"][part])
            whose = f"{name}’s memory" if part == "memory" else name
            return f"{whose} {number(value, 3)}"

        parts = {
            (name, part): factor(found.measures[f"flow-{name}"]["after"][part])
            for name in KINDS
            if found.measures[f"flow-{name}"]["after"]
            for part in found.measures[f"flow-{name}"]["after"]
        }
        vanishing = [key for key, value in parts.items() if value < 0.99]
        exploding = [key for key, value in parts.items() if value > 1.01]
        steady = [key for key in parts if key not in vanishing and key not in exploding]
        groups = [
            f"{verb} for {listed([described(*key) for key in keys])}"
            for verb, keys in (("shrinks", vanishing), ("grows", exploding), ("holds", steady))
            if keys
        ]
        first = (
            f"After training the gradient, with each step further back between 8 and {FAR}, "
            f"{'; '.join(groups)} (times what it was)."
        )
        spans = {name: span(found, name) for name in KINDS}
        longest, shortest = max(spans.values()), min(spans.values())
        best = [name for name in KINDS if spans[name] == longest]
        worst = [name for name in KINDS if spans[name] == shortest]
        if longest == shortest:
            second = f"In the copy task all remember a letter over {longest} dots."
        else:
            second = (
                f"In the copy task {listed(best)} "
                f"{'remembers' if len(best) == 1 else 'remember'} a letter longest, over {longest} "
                f"dots, {listed(worst)} over {shortest}."
            )
        # Do those that remember longest also have the slowest decay?
        slowest = max(parts, key=lambda key: parts[key])[0] if parts else ""
        third = (
            "The cell whose gradient fades least is also the one that remembers longest."
            if slowest in best and len(best) < len(KINDS)
            else f"The gradient fades least in the {slowest}, which isn't what remembers longest."
            if slowest not in best
            else ""
        )
        return " ".join(part for part in (first, second, third) if part)

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
            by_delay = list(zip(*found.measures[f"recall-{name}"]["right"], strict=True))
            if by_delay:
                right.plot(
                    DELAYS, [100 * mean(v) for v in by_delay], ".-", color=colour, label=name
                )
                right.fill_between(
                    DELAYS,
                    [100 * min(v) for v in by_delay],
                    [100 * max(v) for v in by_delay],
                    color=colour,
                    alpha=0.15,
                    linewidth=0,
                )
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
