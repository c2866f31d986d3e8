"""Back-propagation through time with the backward pass written out, cell by cell.

What the four derivations share: the states of all T steps lie in one buffer that each step writes
in place; whatever doesn't depend on the recurrence is computed for all T steps at once; inside
the loop remain the products with W_hh and a few operations on [B, H]; the gradient by W_hh is one
product after the loop. The derivations stand at the head of each cell's file.
"""

from torch import Tensor

from charlm.cells import GRU, LSTM, RNN, Cell, State
from charlm.errors import UserError
from charlm.recurrence.bptt.gru import ResetAfter, ResetBefore
from charlm.recurrence.bptt.lstm import LSTMThroughTime
from charlm.recurrence.bptt.rnn import RNNThroughTime
from charlm.recurrence.precision import in_one_type


def unroll(cell: Cell, inputs: Tensor, state: State) -> tuple[Tensor, State]:
    """What ``eager`` gives; it can be differentiated once.

    Args and returns: see ``charlm.recurrence.eager``.

    Raises:
        UserError: a cell of one's own, whose derivative nobody has written out.
    """
    x_TBG, weight_hh, *state_BH = in_one_type(cell.project(inputs), cell.weight_hh, *state)
    if isinstance(cell, RNN):
        results = RNNThroughTime.apply(x_TBG, *state_BH, weight_hh, cell.nonlinearity)
    elif isinstance(cell, GRU) and cell.bias_hn is not None:
        results = ResetAfter.apply(x_TBG, *state_BH, weight_hh, cell.bias_hn.to(x_TBG.dtype))
    elif isinstance(cell, GRU):
        results = ResetBefore.apply(x_TBG, *state_BH, weight_hh)
    elif isinstance(cell, LSTM):
        results = LSTMThroughTime.apply(x_TBG, *state_BH, weight_hh)
    else:
        raise UserError(
            f"The backend bptt doesn't know the cell {type(cell).__name__}: choose backend: eager."
        )
    outputs_TBH, *final_BH = results
    return outputs_TBH, tuple(final_BH)
