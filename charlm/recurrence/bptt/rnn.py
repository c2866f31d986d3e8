"""Back-propagation through time of the RNN, derived by hand.

    T time steps · B lanes · H hidden size

h_t = φ(a_t), a_t = x_t + W_hh h_{t-1}, with x_t the input's part of the preactivation.

Of a loss L let g_t = ∂L/∂h_t through everything that comes after step t, δ_t = ∂L/∂a_t, and
e_t = ∂L/∂h_t through the output of step t alone. By the chain rule:

δ_t = g_t * φ'(a_t), where tanh' = 1 - h_t² and relu' = [h_t > 0]
g_{t-1} = e_{t-1} + W_hhᵀ δ_t
∂L/∂x_t = δ_t, ∂L/∂h_0 = g_0, ∂L/∂W_hh = Σ_t δ_t h_{t-1}ᵀ

It begins with g_T, from e_T and the final state. Only g must be computed step by step: φ' is
computed for all T steps at once, and the sum over t is one matrix product over T·B rows.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from charlm.cells import RNN, State
from charlm.recurrence.bptt.activations import tanh_
from charlm.recurrence.bptt.buffers import cut, one_minus_square
from charlm.recurrence.products import By, mm


def unroll(
    cell: RNN, x_TBG: Tensor, state: State, begins_TB1: Tensor | None = None
) -> tuple[Tensor, State]:
    """See ``charlm.recurrence.bptt.UNROLLS`` and ``WITH_DOCUMENTS``."""
    weight_hh = cell.weight_hh.to(x_TBG.dtype)
    outputs_TBH, *final = RNNThroughTime.apply(
        x_TBG, *state, weight_hh, cell.nonlinearity, begins_TB1
    )
    return outputs_TBH, tuple(final)


class RNNThroughTime(torch.autograd.Function):
    """(x [T, B, H], h_0 [B, H], W_hh [H, H], tanh or relu, begins [T, B, 1] or none) ->
    (h [T, B, H], h_T [B, H]).

    Overwrites x.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_TBH: Tensor,
        hidden_BH: Tensor,
        weight_hh: Tensor,
        nonlinearity: str,
        begins_TB1: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        activate_ = tanh_ if nonlinearity == "tanh" else torch.relu_
        by_weight_t, h = By(weight_hh.t(), hidden_BH, len(x_TBH)), hidden_BH
        for t, x in enumerate(x_TBH.unbind()):
            if begins_TB1 is not None:
                h = h.masked_fill(begins_TB1[t], 0)
            h = activate_(by_weight_t.addmm(x, h, out=x))
        h_TBH = x_TBH.detach()  # each h has taken the place of its x
        ctx.save_for_backward(hidden_BH, h_TBH, weight_hh, begins_TB1)
        ctx.nonlinearity = nonlinearity
        # The final state is a copy, so that to carry it isn't to carry all outputs.
        return h_TBH, h.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs_TBH: Tensor, d_final_BH: Tensor) -> tuple[Tensor | None, ...]:
        hidden_BH, h_TBH, weight_hh, begins_TB1 = ctx.saved_tensors
        # At first φ'; each step turns its own into δ.
        if ctx.nonlinearity == "tanh":
            delta_TBH = one_minus_square(h_TBH)
        else:
            delta_TBH = (h_TBH > 0).to(h_TBH.dtype)
        by_weight = By(weight_hh, hidden_BH, len(h_TBH))
        # What of δ reaches the state before: none of it where a document begins.
        back_TBH = delta_TBH if begins_TB1 is None else torch.empty_like(delta_TBH)
        delta, e = delta_TBH.unbind(), d_outputs_TBH.unbind()
        back = delta if begins_TB1 is None else back_TBH.unbind()
        g = e[-1] + d_final_BH
        for t in reversed(range(len(delta))):
            delta[t].mul_(g)
            if begins_TB1 is not None:
                cut(begins_TB1[t], delta[t], out=back[t])
            if t:
                by_weight.addmm(e[t - 1], back[t], out=g)
        d_hidden_BH = mm(back[0], weight_hh) if ctx.needs_input_grad[1] else None
        d_weight_hh = mm(back[0].t(), hidden_BH)
        later, before = back_TBH[1:].flatten(0, 1), h_TBH[:-1].flatten(0, 1)
        d_weight_hh += mm(later.t(), before)
        return delta_TBH, d_hidden_BH, d_weight_hh, None, None
