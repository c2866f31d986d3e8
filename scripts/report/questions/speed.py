"""From scratch against the library."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures import speed
from scripts.report.question import Claims, Found, Question, Table
from scripts.report.statistics import listed, mean, number
from scripts.report.tasks import Measure, Run

SIZES = [128, 256]
CELLS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
KINDS = [*(kind for kind, _ in speed.KINDS), speed.OTHER, speed.OVERHEAD]


class Speed(Question):
    name = "speed"
    title = "From scratch against the library: how much slower, and where does the time go?"
    done = (
        "One training iteration (32 lanes of 35 steps: forward, backward, clipping, descent), all "
        "ways in turn in one process of one thread, the median of the rounds; where the time goes "
        "by torch's profiler. Readers guess three times."
    )

    def measures(self, runs: Mapping[str, Sequence[Run]]) -> list[Measure]:
        return [Measure("contest", speed.contest, alone=True, sizes=SIZES, rounds=9, iterations=8)]

    def table(self, found: Found) -> Table:
        measured = found.measures["contest"]
        ways = sorted({way for each in measured["ways"].values() for way in each}, key=order)
        rows = [
            (
                f"{CELLS[case.split()[0]]} {case.split()[1]}",
                *(number(each[way], 3) if way in each else "–" for way in ways),
                number(each["book"] / each["torch"], 2),
            )
            for case, each in measured["ways"].items()
        ]
        calls = {key: each["calls"] for key, each in measured["shares"].items()}
        note = (
            f"Milliseconds an iteration. In `charlm` the way taken is {autos(measured['auto'])}. "
            f"Operators called in an iteration with {SIZES[0]} units: "
            + listed(
                [
                    f"{number(calls[f'{cell} book'])} by the book's {name}, "
                    f"{number(calls[f'{cell} torch'])} by torch.nn's"
                    for cell, name in CELLS.items()
                ]
            )
            + "."
        )
        names = {"book": "the book's loop", "torch": "torch.nn"}
        header = ("", *(names.get(way, f"charlm {way}") for way in ways), "book / torch.nn")
        return Table(header, rows, note)

    day = "2026-11-21"
    answer = (
        "On one thread the book's loop takes 1.1 times as long as torch.nn for the RNN and the GRU, "
        "and 2.8 times for the LSTM: “three times” holds for the LSTM alone. The matrix products, "
        "the work itself, are about half of the book's time: 54 % (torch.nn 52 %) for the RNN, "
        "44 % (49 %) for the GRU and 45 % (76 %) for the LSTM."
    )

    def claims(self, found: Found) -> Claims:
        measured = found.measures["contest"]
        ratios = {
            cell: mean(
                [
                    measured["ways"][f"{cell} {size}"]["book"]
                    / measured["ways"][f"{cell} {size}"]["torch"]
                    for size in SIZES
                ]
            )
            for cell in CELLS
        }
        products = {
            key: each["matrix products"] for key, each in measured["shares"].items() if each
        }
        return {
            "the book's loop is nearly as fast for RNN and GRU": max(ratios["rnn"], ratios["gru"])
            < 1.75,
            "it is about three times slower for the LSTM": 2 < ratios["lstm"] < 4,
            "matrix products are about half of the book's time": all(
                0.3 < products[f"{cell} book"] < 0.7 for cell in CELLS
            ),
            "they are most of the LSTM's in torch.nn": products["lstm torch"] > 0.6,
        }

    def draw(self, found: Found) -> Figure:
        drawn, axes = picture.figure(2)
        left, right = axes[0]
        measured = found.measures["contest"]
        cases = [f"{cell} {SIZES[0]}" for cell in CELLS]
        ways = sorted({way for case in cases for way in measured["ways"][case]}, key=order)
        for number_, (way, colour) in enumerate(zip(ways, picture.COLOURS, strict=False)):
            places = [place + 0.8 * (number_ / len(ways) - 0.4) for place in range(len(cases))]
            heights = [measured["ways"][case].get(way, 0) for case in cases]
            left.bar(places, heights, 0.75 / len(ways), color=colour, label=way)
        left.set_xticks(range(len(cases)), list(CELLS.values()))
        left.grid(visible=False, axis="x")
        picture.label(left, f"cell ({SIZES[0]} units)", "ms an iteration")
        keys = [f"{cell} {way}" for cell in CELLS for way in ("book", "torch")]
        left_of = [0.0] * len(keys)
        for kind, colour in zip(KINDS, picture.COLOURS, strict=False):
            widths = [100 * measured["shares"][key][kind] for key in keys]
            right.barh(range(len(keys)), widths, left=left_of, color=colour, label=kind)
            left_of = [a + b for a, b in zip(left_of, widths, strict=True)]
        right.set_yticks(range(len(keys)), [key.replace("torch", "torch.nn") for key in keys])
        right.invert_yaxis()
        right.grid(visible=False, axis="y")
        legend = {
            "fontsize": 6.5,
            "loc": "upper center",
            "bbox_to_anchor": (0.4, 1.2),
            "ncols": 3,
        }
        picture.label(right, "share of an iteration (%)", "", legend=legend)
        return drawn


def order(way: str) -> tuple[int, str]:
    return (["book", "torch", "eager"].index(way) if way in ("book", "torch", "eager") else 9), way


def autos(auto: Mapping[str, str]) -> str:
    by_way: dict[str, list[str]] = {}
    for case, way in auto.items():
        by_way.setdefault(way, []).append(f"{CELLS[case.split()[0]]} {case.split()[1]}")
    if len(by_way) == 1:
        return f"`{next(iter(by_way))}`"
    return listed([f"`{way}` for {listed(cases)}" for way, cases in by_way.items()])
