"""Back-propagation through time of the LSTM, derived by hand.

    T time steps · B lanes · H hidden size

With x_i, x_f, x_g, x_o the input's parts of the preactivations, h and c the state before a step:

i, f, o = σ(x + W h), g = tanh(x_g + W_hg h), each with its own rows of W_hh
c' = f * c + i * g
h' = o * tanh(c')

Of a loss L let d_h, d_c = ∂L/∂h', ∂L/∂c' through everything that comes after, without c' through
h', and δ_i, δ_f, δ_g, δ_o = ∂L/∂ the arguments of σ and tanh; σ' = σ (1 - σ), tanh' = 1 - tanh².
By the chain rule:

d_c += d_h * o * (1 - tanh²(c'))
δ_i = d_c * g * i * (1 - i)
δ_f = d_c * c * f * (1 - f)
δ_g = d_c * i * (1 - g²)
δ_o = d_h * tanh(c') * o * (1 - o)
∂L/∂c = d_c * f
∂L/∂h = W_hhᵀ δ
∂L/∂x = δ, ∂L/∂W_hh = Σ_t δ hᵀ

Everything that d_c and d_h are multiplied with is known from the forward pass: those factors are
computed for all T steps at once. The four blocks lie side by side as the weights do, [T, B, 4H].
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from charlm.cells import LSTM, State
from charlm.recurrence.bptt.activations import tanh_
from charlm.recurrence.bptt.buffers import (
    blocks,
    cut,
    one_minus_square,
    states,
    steps,
    times_complement,
)
from charlm.recurrence.products import By, mm


def unroll(
    cell: LSTM, x_TBG: Tensor, state: State, begins_TB1: Tensor | None = None
) -> tuple[Tensor, State]:
    """See ``charlm.recurrence.bptt.UNROLLS`` and ``WITH_DOCUMENTS``."""
    results = LSTMThroughTime.apply(x_TBG, *state, cell.weight_hh.to(x_TBG.dtype), begins_TB1)
    outputs_TBH, *final = results
    return outputs_TBH, tuple(final)


class LSTMThroughTime(torch.autograd.Function):
    """(x [T, B, 4H], h_0 and c_0 [B, H], W_hh [4H, H], begins [T, B, 1] or none) ->
    (h [T, B, H], h_T and c_T [B, H]).

    Overwrites x.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_TBG: Tensor,
        hidden_BH: Tensor,
        memory_BH: Tensor,
        weight_hh: Tensor,
        begins_TB1: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        T, H = len(x_TBG), hidden_BH.shape[1]
        h_TBH, new_h_TBH = states(hidden_BH, T, begins_TB1)
        c_TBH, new_c_TBH = states(memory_BH, T, begins_TB1)
        tanh_c_TBH = torch.empty_like(h_TBH)
        gates_TBG = x_TBG.detach()  # at first x; each step turns its own into (i, f, g, o)
        gates, i_and_f, tanh_c = steps(gates_TBG, gates_TBG[:, :, : 2 * H], tanh_c_TBH)
        h, c, new_h, new_c = steps(h_TBH, c_TBH, new_h_TBH, new_c_TBH)
        i, f, g, o = steps(*blocks(gates_TBG, 4))
        by_weight_t = By(weight_hh.t(), hidden_BH, T)
        for t in range(T):
            if begins_TB1 is not None and t:
                cut(begins_TB1[t], new_h[t - 1], out=h[t])
                cut(begins_TB1[t], new_c[t - 1], out=c[t])
            by_weight_t.addmm(gates[t], h[t], out=gates[t])
            i_and_f[t].sigmoid_()
            tanh_(g[t])
            o[t].sigmoid_()
            torch.mul(f[t], c[t], out=new_c[t]).addcmul_(i[t], g[t])
            tanh_(tanh_c[t].copy_(new_c[t]))
            torch.mul(o[t], tanh_c[t], out=new_h[t])
        ctx.save_for_backward(h_TBH, c_TBH, gates_TBG, tanh_c_TBH, weight_hh, begins_TB1)
        # The final state is a copy, so that to carry it isn't to carry the whole buffers.
        return new_h_TBH, new_h[-1].clone(), new_c[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, d_outputs_TBH: Tensor, d_hidden_BH: Tensor, d_memory_BH: Tensor
    ) -> tuple[Tensor | None, ...]:
        h_TBH, c_TBH, gates_TBG, tanh_c_TBH, weight_hh, begins_TB1 = ctx.saved_tensors
        T, H = len(d_outputs_TBH), d_hidden_BH.shape[1]
        i_TBH, f_TBH, g_TBH, o_TBH = blocks(gates_TBG, 4)
        # At first what d_c and d_h are multiplied with; each step turns its own into δ.
        delta_TBG = torch.empty_like(gates_TBG)
        delta_i_TBH, delta_f_TBH, delta_g_TBH, delta_o_TBH = blocks(delta_TBG, 4)
        torch.mul(g_TBH, i_TBH, out=delta_i_TBH)
        times_complement(delta_i_TBH, i_TBH, out=delta_i_TBH)
        torch.mul(c_TBH, f_TBH, out=delta_f_TBH)
        times_complement(delta_f_TBH, f_TBH, out=delta_f_TBH)
        torch.mul(one_minus_square(g_TBH), i_TBH, out=delta_g_TBH)
        torch.mul(tanh_c_TBH, o_TBH, out=delta_o_TBH)
        times_complement(delta_o_TBH, o_TBH, out=delta_o_TBH)
        c_by_h_TBH = one_minus_square(tanh_c_TBH).mul_(o_TBH)  # tanh(c') by c', times o

        if begins_TB1 is not None:
            f_TBH = f_TBH.masked_fill(begins_TB1, 0)  # from here on it leads to the memory before
        e, f, c_by_h = steps(d_outputs_TBH, f_TBH, c_by_h_TBH)
        by_c_TB3H = delta_TBG[:, :, : 3 * H].unflatten(2, (3, H))
        delta, by_c, by_h = steps(delta_TBG, by_c_TB3H, delta_o_TBH)
        by_weight = By(weight_hh, delta[0], T)
        d_h, d_c = e[-1] + d_hidden_BH, d_memory_BH.clone()
        for t in reversed(range(T)):
            d_c.addcmul_(d_h, c_by_h[t])
            by_c[t].mul_(d_c.unsqueeze(1))
            by_h[t].mul_(d_h)
            d_c.mul_(f[t])
            back = delta[t] if begins_TB1 is None else delta[t].masked_fill(begins_TB1[t], 0)
            d_h = by_weight.addmm(e[t - 1], back, out=d_h) if t else by_weight.mm(back)
        d_weight_hh = mm(h_TBH.flatten(0, 1).t(), delta_TBG.flatten(0, 1)).t()
        return delta_TBG, d_h, d_c, d_weight_hh, None
