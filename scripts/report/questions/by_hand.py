"""Back-propagation by hand."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures import by_hand
from scripts.report.question import Found, Question, Table
from scripts.report.statistics import number, times
from scripts.report.tasks import Measure, Run

SIZES = [4, 8, 16, 32, 64, 96]
STEPS = 16
NAMES = {"eager": "autograd", "bptt": "derived by hand", "library": "torch.nn"}
ROUNDING = {"float64": 1e-12, "float32": 1e-4}


class ByHand(Question):
    name = "by-hand"
    title = "Back-propagation by hand: do NumPy, autograd, the derived backward and the library agree? And why not RTRL?"
    done = (
        "The gradients of one window (35 steps, 8 lanes, 64 units) in NumPy float64, one equation "
        "at a time, against autograd, the backward derived by hand and torch.nn. And real-time "
        f"recurrent learning against BPTT in NumPy, {STEPS} steps of one lane, as the state grows."
    )

    def measures(self, runs: Mapping[str, Sequence[Run]]) -> list[Measure]:
        return [
            Measure("differences", by_hand.differences),
            Measure(
                "rtrl",
                by_hand.rtrl_against_bptt,
                alone=True,
                sizes=SIZES,
                num_steps=STEPS,
                repeats=3,
            ),
        ]

    def table(self, found: Found) -> Table:
        measured = found.measures["differences"]
        backends = list(dict.fromkeys(b for d in measured.values() for e in d.values() for b in e))
        rows = [
            (
                f"{cell.upper()}, {dtype}",
                *("–" if each[b] is None else number(each[b], 2) for b in backends),
            )
            for cell, by_dtype in measured.items()
            for dtype, each in by_dtype.items()
        ]
        rtrl = found.measures["rtrl"]
        note = (
            "Largest difference from NumPy's gradient, relative to the largest gradient. RTRL's is "
            f"within {number(rtrl['difference'], 2)} of BPTT's; at {SIZES[-1]} units BPTT takes "
            f"{number(rtrl['bptt'][-1], 2)} ms, RTRL {number(rtrl['rtrl'][-1], 2)} ms."
        )
        return Table(("", *(NAMES.get(b, b) for b in backends)), rows, note)

    def answer(self, found: Found) -> str:
        measured = found.measures["differences"]
        worst = {
            dtype: max(
                error
                for by_dtype in measured.values()
                for error in by_dtype.get(dtype, {}).values()
                if error is not None
            )
            for dtype in ROUNDING
        }
        if all(worst[dtype] <= ROUNDING[dtype] for dtype in ROUNDING):
            first = (
                f"All agree to rounding: within {number(worst['float64'], 2)} of NumPy in float64 "
                f"and {number(worst['float32'], 2)} in float32, for each cell."
            )
        else:
            first = (
                f"They don't all agree: up to {number(worst['float64'], 2)} apart in float64 and "
                f"{number(worst['float32'], 2)} in float32, more than rounding."
            )
        rtrl = found.measures["rtrl"]
        same = rtrl["difference"] < 1e-10
        powers = {name: power(rtrl[name]) for name in ("rtrl", "bptt")}
        counted = {name: power(rtrl["multiply_adds"][name]) for name in ("rtrl", "bptt")}
        ratio = rtrl["rtrl"][-1] / rtrl["bptt"][-1]
        second = (
            f"RTRL {'gives the same gradient' if same else 'gives another gradient'}, but its time "
            f"grows with the state's size to the power {number(powers['rtrl'], 2)}, BPTT's to the "
            f"power {number(powers['bptt'], 2)} (its multiply-adds: {number(counted['rtrl'], 2)} and "
            f"{number(counted['bptt'], 2)})"
            if powers["rtrl"] > powers["bptt"]
            else f"RTRL {'gives the same gradient' if same else 'gives another gradient'}, and in "
            f"time it grows no faster than BPTT here (powers {number(powers['rtrl'], 2)} and "
            f"{number(powers['bptt'], 2)})"
        )
        third = (
            f"at {SIZES[-1]} units it takes {times(ratio)} as long."
            if ratio > 1
            else f"at {SIZES[-1]} units it is even faster, {times(1 / ratio)}."
        )
        return f"{first} {second}; {third}"

    def draw(self, found: Found) -> Figure:
        drawn, axes = picture.figure(2)
        left, right = axes[0]
        measured = found.measures["differences"]
        groups = [(cell, dtype) for cell in measured for dtype in ("float64", "float32")]
        backends = list(next(iter(measured.values()))["float64"])
        for place, (backend, colour) in enumerate(zip(backends, picture.COLOURS, strict=False)):
            heights = [measured[cell][dtype][backend] for cell, dtype in groups]
            drawn_at = [(x, h) for x, h in enumerate(heights) if h is not None]
            left.plot(
                [x + 0.2 * (place - 1) for x, _ in drawn_at],
                [max(h, 1e-18) for _, h in drawn_at],
                "o",
                color=colour,
                markersize=5,
                label=NAMES.get(backend, backend),
            )
        left.set_yscale("log")
        left.set_ylim(1e-17, 1e-3)
        left.set_xticks(
            range(len(groups)), [f"{c.upper()}\n{d.removeprefix('float')} bit" for c, d in groups]
        )
        picture.label(left, "", "difference from NumPy, relative")
        rtrl = found.measures["rtrl"]
        for name, colour in (("rtrl", picture.COLOURS[1]), ("bptt", picture.COLOURS[0])):
            right.plot(SIZES, rtrl[name], ".-", color=colour, label=name.upper())
        right.set_xscale("log", base=2)
        right.set_yscale("log")
        right.set_xticks(SIZES[:-1], SIZES[:-1])
        picture.label(right, "hidden units", f"ms for {STEPS} steps")
        return drawn


def power(values: Sequence[float]) -> float:
    """The exponent of growth over the largest half of the sizes."""
    half = len(SIZES) // 2
    return math.log(values[-1] / values[half - 1]) / math.log(SIZES[-1] / SIZES[half - 1])
