"""Deep networks."""

from matplotlib.figure import Figure

from scripts.report import picture
from scripts.report.question import Claims, Columns, Found, Question, Table
from scripts.report.statistics import compare, higher, lower, mean
from scripts.report.tasks import Variant
from scripts.report.variants import ADAM, ADAM_SHARE, small

CELLS = ("RNN", "GRU", "LSTM")
LAYERS = (1, 2, 3)
UNEQUAL, EQUAL = "RNN 256, 128", "RNN 192, 192"
JOINED, MIXED = "GRU 64, 64, outputs joined", "GRU 64, RNN 64 on top"


def label(cell: str, layers: int) -> str:
    return f"{cell} {', '.join(['64'] * layers)}"


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
        def sized(*sizes: int) -> Variant:
            name = "-".join(["rnn", *map(str, sizes)])
            return Variant(name, {**ADAM, "model.hidden_sizes": [*sizes]}, ADAM_SHARE)

        mixed = {**ADAM, "model.cell": ["gru", "rnn"], "model.hidden_sizes": [64, 64]}
        return {
            **{label(cell, n): small(cell.lower(), n) for cell in CELLS for n in LAYERS},
            UNEQUAL: sized(256, 128),
            EQUAL: sized(192, 192),
            JOINED: small("gru", 2, readout="concat"),
            MIXED: Variant("gru-64-rnn-64", mixed, ADAM_SHARE),
        }

    def table(self, found: Found) -> Table:
        columns: Columns = {
            "perplexity": found.perplexity,
            "best held-out bits": found.best_held_out,
            "at the end": found.held_out,
            "characters/s": found.mean_speed,
        }
        return found.table("layers", columns)

    day = "2026-11-26"
    answer = (
        "From one layer to three perplexity falls for the RNN (3.08 to 1.33), the GRU (1.53 to "
        "1.12) and the LSTM (1.73 to 1.21), in 1.6, 2.3 and 2.1 times the time; the best number "
        "of held-out bits falls for the RNN (2.98 to 2.86) and the GRU (2.82 to 2.73) and rises "
        "for the LSTM (2.85 to 2.95). A GRU is slower than an LSTM, which is 1.2 times as fast. "
        "Perplexity is higher with unequal RNN layers than with equal ones, the same with "
        "joined GRU layers as with the last one alone, and higher with an RNN on top of a GRU "
        "than with two GRUs."
    )

    def claims(self, found: Found) -> Claims:
        ends, best = found.perplexity, found.best_held_out
        one, three = ({cell: label(cell, layers) for cell in CELLS} for layers in (1, 3))
        two = ends(label("GRU", 2))
        return {
            "three layers end lower than one": all(
                lower(ends(three[cell]), ends(one[cell])) for cell in CELLS
            ),
            "held-out bits fall for RNN and GRU": all(
                lower(best(three[cell]), best(one[cell])) for cell in ("RNN", "GRU")
            ),
            "held-out bits rise for the LSTM": higher(best(three["LSTM"]), best(one["LSTM"])),
            "a GRU is slower than an LSTM": mean(found.speed(one["GRU"]))
            < mean(found.speed(one["LSTM"])),
            "unequal layers end higher": higher(ends(UNEQUAL), ends(EQUAL)),
            "joined layers end alike": compare(ends(JOINED), two) == "alike",
            "an RNN on top ends higher": higher(ends(MIXED), two),
        }

    def draw(self, found: Found) -> Figure:
        drawn, left, right = picture.figure(2)
        for ax, figures in ((left, found.perplexity), (right, found.speed)):
            for cell in CELLS:
                values = [figures(label(cell, layers)) for layers in LAYERS]
                picture.band(ax, LAYERS, values, cell, marker=".")
            for name, marker in {UNEQUAL: "^", EQUAL: "v", JOINED: "s", MIXED: "D"}.items():
                ax.plot([2], [mean(figures(name))], marker, markersize=5, label=name)
            ax.set_xticks(LAYERS)
        picture.perplexity_axis(left)
        left.set(xlabel="layers", ylabel="training perplexity")
        right.set_ylim(bottom=0)
        picture.label(right, "layers", "characters/s", legend={"fontsize": 6.5})
        return drawn
