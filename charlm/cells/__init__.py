"""The recurrent cells from scratch: a file each with the equation, the parameters, one step."""

from charlm.cells.cell import INITIALISATIONS, Cell, State
from charlm.cells.gru import GRU
from charlm.cells.lstm import LSTM
from charlm.cells.rnn import RNN
from charlm.errors import UserError

__all__ = ["CELLS", "GRU", "INITIALISATIONS", "LSTM", "RNN", "Cell", "State", "initialise"]

# By the names that options use; any other class is named by its path (``charlm.cells.naming``).
CELLS: dict[str, type[Cell]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


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
