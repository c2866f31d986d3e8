"""The minGRU over all time steps, its gates and its derivative in as few passes as there may be.

T time steps · B lanes · H hidden size

z = σ(x_z), n = x_n, h' = h + z * (n - h)

Of a loss L let g = ∂L/∂h' through everything that comes after, and δ_z, δ_n = ∂L/∂x_z, x_n. As
(1 - z) * (n - h) = n - h':

δ_n = g * z
δ_z = g * (n - h) * z * (1 - z) = δ_n * (n - h')
∂L/∂h = g * (1 - z)
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from charlm.cells import MinGRU, State
from charlm.recurrence.scan import linear


class MinGRUThroughTime(torch.autograd.Function):
    """(x [T, B, 2H], h_0 [B, H]) -> (h [T, B, H], h_T [B, H]); overwrites x."""

    @staticmethod
    def forward(ctx: Any, x_TBG: Tensor, hidden_BH: Tensor) -> tuple[Tensor, Tensor]:
        gates_TBG = x_TBG.detach()  # x_z becomes z
        z_TBH, n_TBH = gates_TBG.chunk(2, dim=2)
        z_TBH.sigmoid_()
        h_TBH, h = x_TBG.new_empty(z_TBH.shape), hidden_BH
        for z, n, new_h in zip(z_TBH.unbind(), n_TBH.unbind(), h_TBH.unbind(), strict=True):
            h = torch.lerp(h, n, z, out=new_h)
        ctx.save_for_backward(h_TBH, gates_TBG)
        # The final state is a copy, so that to carry it isn't to carry the whole buffer.
        return h_TBH, h.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs_TBH: Tensor, d_final_BH: Tensor) -> tuple[Tensor, Tensor]:
        h_TBH, gates_TBG = ctx.saved_tensors
        z_TBH, n_TBH = gates_TBG.chunk(2, dim=2)
        delta_TBG = torch.empty_like(gates_TBG)
        delta_z_TBH, delta_n_TBH = delta_TBG.chunk(2, dim=2)
        # At first 1 - z and g lie where δ_z and δ_n will: fresh memory costs more than the arithmetic.
        a_TBH, g_TBH = torch.sub(1, z_TBH, out=delta_z_TBH), delta_n_TBH
        a, e, g = a_TBH.unbind(), d_outputs_TBH.unbind(), g_TBH.unbind()
        torch.add(e[-1], d_final_BH, out=g[-1])
        for t in reversed(range(len(g) - 1)):
            torch.addcmul(e[t], a[t + 1], g[t + 1], out=g[t])
        d_hidden_BH = a[0] * g[0]
        delta_n_TBH.mul_(z_TBH)
        torch.sub(n_TBH, h_TBH, out=delta_z_TBH).mul_(delta_n_TBH)
        return delta_TBG, d_hidden_BH


def unroll(
    cell: MinGRU, x_TBG: Tensor, state: State, begins_TB: Tensor | None
) -> tuple[Tensor, State]:
    """See ``charlm.recurrence.scan.UNROLLS``."""
    if begins_TB is None and x_TBG.is_cpu:
        outputs_TBH, final_BH = MinGRUThroughTime.apply(x_TBG, *state)
        return outputs_TBH, (final_BH,)
    return linear.unroll(cell, x_TBG, state, begins_TB)
