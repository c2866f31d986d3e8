"""Deep networks."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.question import Found, Question, Table
from scripts.report.statistics import compare, listed, mean, number, spread, times
from scripts.report.tasks import Variant
from scripts.report.variants import ADAM, ADAM_SHARE, small

CELLS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
LAYERS = (1, 2, 3)
UNEQUAL, EQUAL = "RNN 256, 128", "RNN 192, 192"
JOINED, MIXED = "GRU 64, 64, outputs joined", "GRU 64, RNN 64 on top"


def label(cell: str, layers: int) -> str:
    return f"{CELLS[cell]} {', '.join(['64'] * layers)}"


class Depth(Question):
    name = "depth"
    title = (
        "Deep networks: do more layers help, must they be equal, and is a GRU faster than an LSTM?"
    )
    done = (
        "One to three layers of 64 units of each cell; unequal layers against equal ones; both "
        "layers' outputs joined for the output layer (`model.readout: concat`); an RNN on top of a "
        "GRU. All by Adam at learning rate 0.005 from the uniform initialisation, for two fifths "
        "of the epochs, since plain descent leaves deep and gated networks on their plateau."
    )

    def variants(self) -> dict[str, Variant]:
        def sized(sizes: list[int]) -> Variant:
            name = "-".join(["rnn", *map(str, sizes)])
            return Variant(name, {**ADAM, "model.hidden_sizes": sizes}, ADAM_SHARE)

        mixed = {**ADAM, "model.cell": ["gru", "rnn"], "model.hidden_sizes": [64, 64]}
        return {
            **{label(cell, layers): small(cell, layers) for cell in CELLS for layers in LAYERS},
            UNEQUAL: sized([256, 128]),
            EQUAL: sized([192, 192]),
            JOINED: small("gru", 2, readout="concat"),
            MIXED: Variant("gru-64-rnn-64", mixed, ADAM_SHARE),
        }

    def table(self, found: Found) -> Table:
        rows = [
            (
                name,
                spread(found.perplexity(name)),
                spread([bits for bits, _ in found.best_held_out(name)]),
                spread(found.held_out(name)),
                number(mean(found.speed(name))),
            )
            for name in found.runs
        ]
        header = ("layers", "perplexity", "best held-out bits", "at the end", "characters/s")
        return Table(header, rows)

    def answer(self, found: Found) -> str:
        one, three = (
            {cell: found.perplexity(label(cell, layers)) for cell in CELLS} for layers in (1, 3)
        )
        best_one, best_three = (
            {cell: [bits for bits, _ in found.best_held_out(label(cell, layers))] for cell in CELLS}
            for layers in (1, 3)
        )
        costs = [
            number(mean(found.speed(label(cell, 1))) / mean(found.speed(label(cell, 3))), 2)
            for cell in CELLS
        ]
        first = (
            f"From one layer to three perplexity {changes(one, three)}, in {listed(costs)} times "
            f"the time; the best number of held-out bits {changes(best_one, best_three)}."
        )
        gru, lstm = found.speed(label("gru", 1)), found.speed(label("lstm", 1))
        ratio = mean(gru) / mean(lstm)
        faster = {
            "higher": f"A GRU is faster than an LSTM, {times(ratio)}",
            "lower": f"A GRU is slower than an LSTM, which is {times(1 / ratio)} as fast",
            "alike": "A GRU is as fast as an LSTM",
        }[compare(gru, lstm)]
        two = found.perplexity(label("gru", 2))
        others = [
            (
                "unequal RNN layers",
                compare(found.perplexity(UNEQUAL), found.perplexity(EQUAL)),
                "equal ones",
            ),
            ("joined GRU layers", compare(found.perplexity(JOINED), two), "the last one alone"),
            ("an RNN on top of a GRU", compare(found.perplexity(MIXED), two), "two GRUs"),
        ]
        words = {"lower": "lower than with", "higher": "higher than with", "alike": "as with"}
        comparisons = listed([f"with {a} {words[v]} {b}" for a, v, b in others])
        return (
            f"{first} {faster} ({number(mean(gru))} and {number(mean(lstm))} characters/s); "
            f"perplexity is {comparisons}."
        )

    def draw(self, found: Found) -> Figure:
        drawn, axes = picture.figure(2)
        left, right = axes[0]
        for (cell, name), colour in zip(CELLS.items(), picture.COLOURS, strict=False):
            labels = [label(cell, layers) for layers in LAYERS]
            picture.band(left, LAYERS, [found.perplexity(each) for each in labels], colour, name)
            picture.band(right, LAYERS, [found.speed(each) for each in labels], colour, name)
            for ax in (left, right):
                ax.set_xticks(LAYERS)
        extras = {UNEQUAL: "^", EQUAL: "v", JOINED: "s", MIXED: "D"}
        for (name, marker), colour in zip(extras.items(), picture.COLOURS[3:], strict=False):
            for ax, values in ((left, found.perplexity(name)), (right, found.speed(name))):
                ax.plot([2], [mean(values)], marker, color=colour, markersize=5, label=name)
        picture.perplexity_axis(left)
        right.set_ylim(bottom=0)
        picture.label(left, "layers", "training perplexity")
        picture.label(right, "layers", "characters/s", legend={"fontsize": 6.5})
        left.get_legend().remove()
        return drawn


def changes(one: Mapping[str, Sequence[float]], three: Mapping[str, Sequence[float]]) -> str:
    """falls for the RNN (5.8 to 3.9) and rises for the LSTM (6.3 to 7.8)"""
    verdicts = {cell: compare(three[cell], one[cell]) for cell in CELLS}
    words = {"lower": "falls for", "higher": "rises for", "alike": "stays for"}
    return listed(
        [
            f"{word} "
            + listed(
                [
                    f"the {CELLS[cell]} ({spread(one[cell])} to {spread(three[cell])})"
                    for cell in CELLS
                    if verdicts[cell] == verdict
                ]
            )
            for verdict, word in words.items()
            if verdict in verdicts.values()
        ]
    )
