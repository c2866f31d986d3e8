"""Griffin's recurrent block over all time steps at once.

T time steps · B lanes · H hidden size · G gates × H
"""

import torch
from torch import Tensor

from charlm.cells import RGLRU, State
from charlm.recurrence.scan.recurrence import linear_recurrence


def unroll(
    cell: RGLRU, x_TBG: Tensor, state: State, begins_TB: Tensor | None
) -> tuple[Tensor, State]:
    """See ``charlm.recurrence.scan.UNROLLS``."""
    T = len(x_TBG)
    _, hidden_BH, *before = state
    u_TBH, v_TBH = x_TBG.chunk(2, dim=2)
    # From the earliest of the three before the window on.
    all_u = torch.cat([torch.stack(before[::-1]), u_TBH])
    earlier = [all_u[3 - k : 3 - k + T] for k in (1, 2, 3)]
    if begins_TB is not None:
        # How many documents have begun by each step: the convolution stays within one.
        begun_TB = begins_TB.cumsum(0)
        all_begun = torch.cat([begun_TB.new_zeros(3, begun_TB.shape[1]), begun_TB])
        earlier = [
            u.masked_fill((all_begun[3 - k : 3 - k + T] < begun_TB).unsqueeze(2), 0)
            for k, u in zip((1, 2, 3), earlier, strict=True)
        ]
    a_TBH, b_TBH = cell.coefficients(cell.convolve(u_TBH, tuple(earlier)))
    if begins_TB is not None:
        a_TBH = a_TBH.masked_fill(begins_TB.unsqueeze(2), 0)
    h_TBH = linear_recurrence(a_TBH, b_TBH, hidden_BH)
    outputs_TBH = cell.read(v_TBH, h_TBH).to(h_TBH.dtype)
    # What the next step will find one, two and three steps before it.
    last = (u_TBH[-1], earlier[0][-1], earlier[1][-1])
    # Copies, so that to carry the state isn't to carry the whole window.
    return outputs_TBH, tuple(part.clone() for part in (outputs_TBH[-1], h_TBH[-1], *last))
