"""Any linear cell over all time steps, its coefficients by the cell itself.

T time steps · B lanes · H hidden size · G gates × H
"""

from torch import Tensor

from charlm.cells import LinearCell, State
from charlm.recurrence.scan.recurrence import linear_recurrence


def unroll(
    cell: LinearCell, x_TBG: Tensor, state: State, begins_TB: Tensor | None
) -> tuple[Tensor, State]:
    """See ``charlm.recurrence.scan.UNROLLS``; for a cell whose step is that of ``LinearCell``."""
    a_TBH, b_TBH = cell.coefficients(x_TBG)
    if begins_TB is not None:
        a_TBH = a_TBH.masked_fill(begins_TB.unsqueeze(2), 0)  # nothing is kept of what was before
    h_TBH = linear_recurrence(a_TBH, b_TBH, state[0])
    # A copy, so that to carry the state isn't to carry all outputs.
    return h_TBH, (h_TBH[-1].clone(),)
