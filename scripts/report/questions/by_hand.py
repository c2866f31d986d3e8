"""Back-propagation by hand."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures.by_hand import differences, rtrl_against_bptt
from scripts.report.question import Claims, Found, Question, Runs, Table
from scripts.report.statistics import number
from scripts.report.tasks import Measure

SIZES = [4, 8, 16, 32, 64, 96]
STEPS = 16
NAMES = {"eager": "autograd", "bptt": "derived by hand", "library": "torch.nn"}
ROUNDING = {"float64": 1e-12, "float32": 1e-4}


def errors(found: Found) -> dict[tuple[str, str], dict[str, float | None]]:
    """By cell and dtype, those of each backend."""
    measured = found.measures["differences"]
    return {(cell, dtype): each for cell in measured for dtype, each in measured[cell].items()}


def served(found: Found) -> list[str]:
    """The backends that any cell here has."""
    names = {
        n: None for each in errors(found).values() for n, error in each.items() if error is not None
    }
    return list(names)


def power(values: Sequence[float]) -> float:
    """The exponent of growth over the largest half of the sizes."""
    half = len(SIZES) // 2
    return math.log(values[-1] / values[half - 1]) / math.log(SIZES[-1] / SIZES[half - 1])


class ByHand(Question):
    name = "by-hand"
    title = "Back-propagation by hand: do NumPy, autograd, the derived backward and the library agree? And why not RTRL?"
    done = (
        "The gradients of one window (35 steps, 8 lanes, 64 units) in NumPy float64, one equation "
        "at a time, against autograd, the backward derived by hand and torch.nn. And real-time "
        f"recurrent learning against BPTT in NumPy, {STEPS} steps of one lane, as the state grows."
    )

    def measures(self, runs: Runs) -> list[Measure]:
        growing: dict[str, Any] = {"sizes": SIZES, "num_steps": STEPS, "repeats": 3}
        return [
            Measure("differences", differences),
            Measure("rtrl", rtrl_against_bptt, alone=True, **growing),
        ]

    def table(self, found: Found) -> Table:
        backends = served(found)
        rows = [
            (
                f"{cell.upper()}, {dtype}",
                *("–" if (error := each[name]) is None else number(error, 2) for name in backends),
            )
            for (cell, dtype), each in errors(found).items()
        ]
        rtrl = found.measures["rtrl"]
        note = (
            "Largest difference from NumPy's gradient, relative to the largest gradient. RTRL's is "
            f"within {number(rtrl['difference'], 2)} of BPTT's; at {SIZES[-1]} units BPTT takes "
            f"{number(rtrl['bptt'][-1], 2)} ms, RTRL {number(rtrl['rtrl'][-1], 2)} ms."
        )
        return Table(("", *(NAMES.get(name, name) for name in backends)), rows, note)

    day = "2026-11-26"
    answer = (
        "All agree to rounding: within 9e-16 of NumPy in float64 and 2e-7 in float32, for each "
        "cell. RTRL gives the same gradient, but its time grows with the state's size to the "
        "power 2.1, BPTT's to the power 0.2 (their multiply-adds: 3.5 and 1.6); at 96 units it "
        "takes 76 times as long."
    )

    def claims(self, found: Found) -> Claims:
        rtrl = found.measures["rtrl"]
        return {
            "all agree to rounding": all(
                error <= ROUNDING[dtype]
                for (_, dtype), each in errors(found).items()
                for error in each.values()
                if error is not None
            ),
            "RTRL gives the same gradient": rtrl["difference"] < 1e-10,
            "RTRL's time grows faster by more than a power": power(rtrl["rtrl"])
            > power(rtrl["bptt"]) + 1,
            "at 96 units it takes 20 times as long at least": rtrl["rtrl"][-1]
            > 20 * rtrl["bptt"][-1],
        }

    def draw(self, found: Found) -> Figure:
        drawn, left, right = picture.figure(2)
        groups = errors(found)
        for place, backend in enumerate(served(found)):
            found_at = {x: each[backend] for x, each in enumerate(groups.values())}
            there = {x: error for x, error in found_at.items() if error is not None}
            xs = [x + 0.2 * (place - 1) for x in there]
            ys = [max(error, 1e-18) for error in there.values()]
            name = NAMES.get(backend, backend)
            left.plot(xs, ys, "o", markersize=5, label=name)
        left.set_yscale("log")
        left.set_ylim(1e-17, 1e-3)
        names = [f"{cell.upper()}\n{dtype.removeprefix('float')} bit" for cell, dtype in groups]
        left.set_xticks(range(len(groups)), names)
        picture.label(left, "", "difference from NumPy, relative")
        for name, colour in (("rtrl", "C1"), ("bptt", "C0")):
            right.plot(SIZES, found.measures["rtrl"][name], ".-", color=colour, label=name.upper())
        right.set_xscale("log", base=2)
        right.set_yscale("log")
        right.set_xticks(SIZES[:-1], SIZES[:-1])
        picture.label(right, "hidden units", f"ms for {STEPS} steps")
        return drawn
