"""From scratch against the library."""

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.measures import speed
from scripts.report.question import Claims, Found, Question, Runs, Table
from scripts.report.statistics import listed, mean, number
from scripts.report.tasks import Measure

SIZES = [128, 256]
CELLS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
KINDS = [*(kind for kind, _ in speed.KINDS), speed.OTHER, speed.OVERHEAD]
FIRST = ("book", "torch", "eager")


def ways(found: Found) -> list[str]:
    """All that were timed: the two compared, our loop, our others."""
    timed = {way for each in found.measures["contest"]["ways"].values() for way in each}
    return [*(way for way in FIRST if way in timed), *sorted(timed - set(FIRST))]


def case_name(case: str) -> str:
    """RNN 128 for ``rnn 128``."""
    cell, size = case.split()
    return f"{CELLS[cell]} {size}"


def autos(auto: dict[str, str]) -> str:
    """Which way charlm takes, in all cases or in each."""
    cases = {way: [case_name(case) for case in auto if auto[case] == way] for way in auto.values()}
    if len(cases) == 1:
        return f"`{next(iter(cases))}`"
    return listed([f"`{way}` for {listed(names)}" for way, names in cases.items()])


class Speed(Question):
    name = "speed"
    title = "From scratch against the library: how much slower, and where does the time go?"
    done = (
        "One training iteration (32 lanes of 35 steps: forward, backward, clipping, descent), all "
        "ways in turn in one process of one thread, the median of the rounds; where the time goes "
        "by torch's profiler. Readers guess three times."
    )

    def measures(self, runs: Runs) -> list[Measure]:
        return [Measure("contest", speed.contest, alone=True, sizes=SIZES, rounds=9, seconds=0.1)]

    def table(self, found: Found) -> Table:
        measured = found.measures["contest"]
        shown = ways(found)
        rows = [
            (
                case_name(case),
                *(number(each[way], 3) if way in each else "–" for way in shown),
                number(each["book"] / each["torch"], 2),
            )
            for case, each in measured["ways"].items()
        ]
        calls = {key: number(each["calls"]) for key, each in measured["shares"].items()}
        called = [
            f"{calls[f'{cell} book']} by the book's {name}, {calls[f'{cell} torch']} by torch.nn's"
            for cell, name in CELLS.items()
        ]
        note = (
            f"Milliseconds an iteration. In `charlm` the way taken is {autos(measured['auto'])}. "
            f"Operators called in an iteration with {SIZES[0]} units: {listed(called)}."
        )
        names = {"book": "the book's loop", "torch": "torch.nn"}
        header = ("", *(names.get(way, f"charlm {way}") for way in shown), "book / torch.nn")
        return Table(header, rows, note)

    day = "2026-11-26"
    answer = (
        "On one thread the book's loop takes 1.2 times as long as torch.nn for the RNN, 1.4 "
        "times for the GRU and 2.6 times for the LSTM with 128 units, and 1.2, 1.2 and 1.8 "
        "times with 256: “three times” holds for a small LSTM alone. The matrix products, the "
        "work itself, are less than half of the book's time: 39 % (torch.nn 31 %) for the RNN, "
        "47 % (38 %) for the GRU and 43 % (90 %) for the LSTM."
    )

    def claims(self, found: Found) -> Claims:
        measured = found.measures["contest"]

        def slower(cell: str) -> float:
            times = [measured["ways"][f"{cell} {size}"] for size in SIZES]
            return mean([each["book"] / each["torch"] for each in times])

        products = {key: each["matrix products"] for key, each in measured["shares"].items()}
        return {
            "the book's loop is nearly as fast for RNN and GRU": slower("rnn") < 1.75
            and slower("gru") < 1.75,
            "it is two to four times slower for the LSTM": 2 < slower("lstm") < 4,
            "matrix products are half of the book's time or less": all(
                0.2 < products[f"{cell} book"] < 0.6 for cell in CELLS
            ),
            "they are most of the LSTM's in torch.nn": products["lstm torch"] > 0.6,
        }

    def draw(self, found: Found) -> Figure:
        drawn, left, right = picture.figure(2)
        measured = found.measures["contest"]
        times = [measured["ways"][f"{cell} {SIZES[0]}"] for cell in CELLS]
        heights = {way: [each.get(way, 0) for each in times] for way in ways(found)}
        picture.bars(left, list(CELLS.values()), heights)
        picture.label(left, f"cell ({SIZES[0]} units)", "ms an iteration")
        keys = [f"{cell} {way}" for cell in CELLS for way in ("book", "torch")]
        left_of = [0.0] * len(keys)
        for kind in KINDS:
            widths = [100 * measured["shares"][key][kind] for key in keys]
            right.barh(range(len(keys)), widths, left=left_of, label=kind)
            left_of = [a + b for a, b in zip(left_of, widths, strict=True)]
        right.set_yticks(range(len(keys)), [key.replace("torch", "torch.nn") for key in keys])
        right.invert_yaxis()
        right.grid(visible=False, axis="y")
        above = {"loc": "upper center", "bbox_to_anchor": (0.4, 1.2), "ncols": 3, "fontsize": 6.5}
        picture.label(right, "share of an iteration (%)", "", legend=above)
        return drawn
