"""Back-propagation by hand."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures import by_hand
from scripts.report.question import Claims, Found, Question, Table
from scripts.report.statistics import number
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

    day = "2026-11-21"
    answer = (
        "All agree to rounding: within 9e-16 of NumPy in float64 and 1e-7 in float32, for each "
        "cell. RTRL gives the same gradient, but its time grows with the state's size to the power "
        "2.7, BPTT's to the power 0.45 (their multiply-adds: 3.5 and 1.6); at 96 units it takes "
        "150 times as long."
    )

    def claims(self, found: Found) -> Claims:
        measured = found.measures["differences"]
        rtrl = found.measures["rtrl"]
        return {
            "all agree to rounding": all(
                error <= ROUNDING[dtype]
                for by_dtype in measured.values()
                for dtype, each in by_dtype.items()
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
