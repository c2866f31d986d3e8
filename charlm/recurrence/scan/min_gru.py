"""The minGRU over all time steps, its gates and its derivative in as few passes as there may be.

T time steps · B lanes · H hidden size

z = σ(x_z), n = x_n, h' = h + z * (n - h)

With g as in ``charlm.recurrence.scan.recurrence``, where a = 1 - z, and δ_z, δ_n = ∂L/∂x_z, x_n:

δ_n = g * z
δ_z = g * (n - h) * z * (1 - z) = δ_n * (n - h) * a
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from charlm.cells import MinGRU, State
from charlm.recurrence.scan import linear
from charlm.recurrence.scan.recurrence import backward_loop


class MinGRUThroughTime(torch.autograd.Function):
    """(x [T, B, 2H], h_0 [B, H]) -> (h [T, B, H], h_T [B, H]); overwrites x."""

    @staticmethod
    def forward(ctx: Any, x_TBG: Tensor, hidden_BH: Tensor) -> tuple[Tensor, Tensor]:
        T, B, H = len(x_TBG), *hidden_BH.shape
        gates_TBG = x_TBG.detach()  # x_z becomes z
        z_TBH, n_TBH = gates_TBG.chunk(2, dim=2)
        z_TBH.sigmoid_()
        h_TBH = x_TBG.new_empty(T + 1, B, H)
        h_TBH[0] = hidden_BH
        h, z, n = h_TBH.unbind(), z_TBH.unbind(), n_TBH.unbind()
        for t in range(T):
            torch.lerp(h[t], n[t], z[t], out=h[t + 1])
        ctx.save_for_backward(h_TBH, gates_TBG)
        # The final state is a copy, so that to carry it isn't to carry the whole buffer.
        return h_TBH[1:], h_TBH[T].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs_TBH: Tensor, d_final_BH: Tensor) -> tuple[Tensor, Tensor]:
        h_TBH, gates_TBG = ctx.saved_tensors
        z_TBH, n_TBH = gates_TBG.chunk(2, dim=2)
        keep_TBH = 1 - z_TBH
        g_TBH = backward_loop(keep_TBH, d_outputs_TBH, d_final_BH)
        delta_TBG = torch.empty_like(gates_TBG)
        delta_z_TBH, delta_n_TBH = delta_TBG.chunk(2, dim=2)
        torch.mul(g_TBH, z_TBH, out=delta_n_TBH)
        torch.sub(n_TBH, h_TBH[:-1], out=delta_z_TBH)
        delta_z_TBH.mul_(delta_n_TBH).mul_(keep_TBH)
        return delta_TBG, keep_TBH[0] * g_TBH[0]


def unroll(
    cell: MinGRU, x_TBG: Tensor, state: State, begins_TB: Tensor | None
) -> tuple[Tensor, State]:
    """See ``charlm.recurrence.scan.UNROLLS``."""
    if begins_TB is None and x_TBG.is_cpu:
        outputs_TBH, final_BH = MinGRUThroughTime.apply(x_TBG, *state)
        return outputs_TBH, (final_BH,)
    return linear.unroll(cell, x_TBG, state, begins_TB)
