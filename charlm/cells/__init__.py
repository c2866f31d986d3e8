"""The recurrent cells from scratch: a file each with the equation, the parameters, one step."""

from charlm.cells.cell import INITIALISATIONS, Cell, State
from charlm.cells.gru import GRU
from charlm.cells.layer_norm_lstm import LayerNormLSTM
from charlm.cells.linear import LinearCell
from charlm.cells.lstm import LSTM
from charlm.cells.min_gru import MinGRU
from charlm.cells.min_lstm import MinLSTM
from charlm.cells.mogrifier import MogrifierLSTM
from charlm.cells.rg_lru import RGLRU
from charlm.cells.rnn import RNN
from charlm.cells.slstm import SLSTM
from charlm.errors import UserError

__all__ = [
    "CELLS",
    "Cell",
    "GRU",
    "INITIALISATIONS",
    "LSTM",
    "LayerNormLSTM",
    "LinearCell",
    "MinGRU",
    "MinLSTM",
    "MogrifierLSTM",
    "RGLRU",
    "RNN",
    "SLSTM",
    "State",
    "initialise",
]

# By the names that options use; any other class is named by its path (``charlm.cells.naming``).
CELLS: dict[str, type[Cell]] = {
    "rnn": RNN,
    "gru": GRU,
    "lstm": LSTM,
    "min_gru": MinGRU,
    "min_lstm": MinLSTM,
    "rg_lru": RGLRU,
    "mogrifier_lstm": MogrifierLSTM,
    "layer_norm_lstm": LayerNormLSTM,
    "slstm": SLSTM,
}


def initialise(cell: Cell, initialisation: str = "book") -> None:
    """Draw a cell's parameters anew (``Cell.initialise``).

    Raises:
        UserError: an unknown initialisation.
    """
    if initialisation not in INITIALISATIONS:
        raise UserError(
            f"Unknown initialisation {initialisation!r}: choose one of "
            f"{', '.join(INITIALISATIONS)}."
        )
    cell.initialise(initialisation)
