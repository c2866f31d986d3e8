"""Deep networks."""

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.question import Claims, Found, Question, Table
from scripts.report.statistics import compare, mean, number, spread
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

    day = "2026-11-21"
    answer = (
        "From one layer to three perplexity falls for the RNN (3.08 to 1.32), the GRU (1.55 to "
        "1.09) and the LSTM (1.72 to 1.19), in 2.0, 2.3 and 3.7 times the time; the best number of "
        "held-out bits falls for the RNN (2.98 to 2.86) and the GRU (2.82 to 2.73) and rises for "
        "the LSTM (2.85 to 2.95). A GRU is slower than an LSTM, which is 1.2 times as fast. "
        "Perplexity is higher with unequal RNN layers than with equal ones, the same with joined "
        "GRU layers as with the last one alone, and higher with an RNN on top of a GRU than with "
        "two GRUs."
    )

    def claims(self, found: Found) -> Claims:
        def ends(cell: str, layers: int) -> list[float]:
            return found.perplexity(label(cell, layers))

        def best(cell: str, layers: int) -> list[float]:
            return [bits for bits, _ in found.best_held_out(label(cell, layers))]

        two = ends("gru", 2)
        return {
            "three layers end lower than one": all(
                compare(ends(cell, 3), ends(cell, 1)) == "lower" for cell in CELLS
            ),
            "held-out bits fall for RNN and GRU": all(
                compare(best(cell, 3), best(cell, 1)) == "lower" for cell in ("rnn", "gru")
            ),
            "held-out bits rise for the LSTM": compare(best("lstm", 3), best("lstm", 1))
            == "higher",
            "a GRU is slower than an LSTM": mean(found.speed(label("gru", 1)))
            < mean(found.speed(label("lstm", 1))),
            "unequal layers end higher": compare(found.perplexity(UNEQUAL), found.perplexity(EQUAL))
            == "higher",
            "joined layers end alike": compare(found.perplexity(JOINED), two) == "alike",
            "an RNN on top ends higher": compare(found.perplexity(MIXED), two) == "higher",
        }

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
