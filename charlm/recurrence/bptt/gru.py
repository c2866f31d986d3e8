"""Back-propagation through time of the GRU in its two forms, derived by hand.

    T time steps · B lanes · H hidden size

With x_r, x_z, x_n the input's parts of the preactivations, and h the state before a step:

r = σ(x_r + W_hr h)
z = σ(x_z + W_hz h)
reset after:  n = tanh(x_n + r * q), q = W_hn h + b_hn
reset before: n = tanh(x_n + W_hn q), q = r * h
h' = (1 - z) * n + z * h

Of a loss L let g = ∂L/∂h' through everything that comes after, and δ_r, δ_z, δ_n = ∂L/∂ the
arguments of σ, σ and tanh; σ' = σ (1 - σ), tanh' = 1 - tanh². By the chain rule:

δ_n = g * (1 - z) * (1 - n²)
δ_z = g * (h - n) * z * (1 - z)

reset after: δ_q = ∂L/∂q = δ_n * r
δ_r = δ_n * q * r * (1 - r)
∂L/∂h = g * z + W_hrᵀ δ_r + W_hzᵀ δ_z + W_hnᵀ δ_q
∂L/∂W_hn = Σ_t δ_q hᵀ, ∂L/∂b_hn = Σ_t δ_q

reset before: δ_q = W_hnᵀ δ_n
δ_r = δ_q * h * r * (1 - r)
∂L/∂h = g * z + W_hrᵀ δ_r + W_hzᵀ δ_z + r * δ_q
∂L/∂W_hn = Σ_t δ_n qᵀ

in both: ∂L/∂(x_r, x_z, x_n) = (δ_r, δ_z, δ_n), ∂L/∂W_hr = Σ_t δ_r hᵀ, ∂L/∂W_hz = Σ_t δ_z hᵀ

Everything that g or δ_q is multiplied with is known from the forward pass: those factors are
computed for all T steps at once. Three blocks lie side by side as the weights do, [T, B, 3H].
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from charlm.cells import GRU, State
from charlm.recurrence.bptt.activations import tanh_
from charlm.recurrence.bptt.buffers import (
    blocks,
    cut,
    gradients,
    one_minus_square,
    states,
    steps,
    times_complement,
)
from charlm.recurrence.products import By, mm


def unroll(
    cell: GRU, x_TBG: Tensor, state: State, begins_TB1: Tensor | None = None
) -> tuple[Tensor, State]:
    """See ``charlm.recurrence.bptt.UNROLLS`` and ``WITH_DOCUMENTS``."""
    weight_hh = cell.weight_hh.to(x_TBG.dtype)
    if cell.bias_hn is not None:
        bias_hn = cell.bias_hn.to(x_TBG.dtype)
        results = ResetAfter.apply(x_TBG, *state, weight_hh, bias_hn, begins_TB1)
    else:
        results = ResetBefore.apply(x_TBG, *state, weight_hh, begins_TB1)
    outputs_TBH, *final = results
    return outputs_TBH, tuple(final)


class ResetAfter(torch.autograd.Function):
    """(x [T, B, 3H], h_0 [B, H], W_hh [3H, H], b_hn [H], begins [T, B, 1] or none) ->
    (h [T, B, H], h_T [B, H]).

    Overwrites x.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_TBG: Tensor,
        hidden_BH: Tensor,
        weight_hh: Tensor,
        bias_hn: Tensor,
        begins_TB1: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        T, H = len(x_TBG), hidden_BH.shape[1]
        h_TBH, after_TBH = states(hidden_BH, T, begins_TB1)
        # What the product is added to: with b_hn in x_n's place, each step turns it into (r, z, q).
        gates_TBG = x_TBG.detach()
        n_TBH = gates_TBG[:, :, 2 * H :].clone(memory_format=torch.contiguous_format)
        gates_TBG[:, :, 2 * H :] = bias_hn
        gates, rz, n = steps(gates_TBG, gates_TBG[:, :, : 2 * H], n_TBH)
        (r, z, q), (h, after) = steps(*blocks(gates_TBG, 3)), steps(h_TBH, after_TBH)
        by_weight_t = By(weight_hh.t(), hidden_BH, T)
        for t in range(T):
            if begins_TB1 is not None and t:
                cut(begins_TB1[t], after[t - 1], out=h[t])
            by_weight_t.addmm(gates[t], h[t], out=gates[t])
            rz[t].sigmoid_()
            tanh_(n[t].addcmul_(r[t], q[t]))
            torch.lerp(n[t], h[t], z[t], out=after[t])  # n + z * (h - n)
        ctx.save_for_backward(h_TBH, gates_TBG, n_TBH, weight_hh, begins_TB1)
        # The final state is a copy, so that to carry it isn't to carry the whole buffer.
        return after_TBH, after[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs_TBH: Tensor, d_final_BH: Tensor) -> tuple[Tensor | None, ...]:
        h_TBH, gates_TBG, n_TBH, weight_hh, begins_TB1 = ctx.saved_tensors
        T, H = len(d_outputs_TBH), d_final_BH.shape[1]
        r_TBH, z_TBH, q_TBH = blocks(gates_TBG, 3)
        # At first what g is multiplied with; each step turns its own into (δ_r, δ_z, δ_q).
        delta_TBG = torch.empty_like(gates_TBG)
        delta_r_TBH, delta_z_TBH, delta_q_TBH = blocks(delta_TBG, 3)
        by_n_TBH = one_minus_square(n_TBH)  # δ_n = g * by_n
        times_complement(by_n_TBH, z_TBH, out=by_n_TBH)
        torch.mul(by_n_TBH, r_TBH, out=delta_q_TBH)
        torch.mul(delta_q_TBH, q_TBH, out=delta_r_TBH)
        times_complement(delta_r_TBH, r_TBH, out=delta_r_TBH)
        torch.sub(h_TBH, n_TBH, out=delta_z_TBH).mul_(z_TBH)
        times_complement(delta_z_TBH, z_TBH, out=delta_z_TBH)

        if begins_TB1 is not None:
            z_TBH = z_TBH.masked_fill(begins_TB1, 0)  # from here on it leads to the state before
        g_TBH = gradients(d_outputs_TBH, d_final_BH)
        delta, delta_by_gate = steps(delta_TBG, delta_TBG.unflatten(2, (3, H)))
        g, g_for_gates, z = steps(g_TBH, g_TBH.unsqueeze(2), z_TBH)
        by_weight = By(weight_hh, delta[0], T)
        for t in reversed(range(T)):
            delta_by_gate[t].mul_(g_for_gates[t + 1])
            g[t].addcmul_(g[t + 1], z[t])
            back = delta[t] if begins_TB1 is None else delta[t].masked_fill(begins_TB1[t], 0)
            by_weight.addmm(g[t], back, out=g[t])

        delta_rows = delta_TBG.flatten(0, 1)
        d_weight_hh = mm(h_TBH.flatten(0, 1).t(), delta_rows).t()
        d_bias_hn = delta_rows[:, 2 * H :].sum(0)
        torch.mul(g_TBH[1:], by_n_TBH, out=delta_q_TBH)  # δ_n in δ_q's place: now it is ∂L/∂x
        return delta_TBG, g_TBH[0], d_weight_hh, d_bias_hn, None


class ResetBefore(torch.autograd.Function):
    """(x [T, B, 3H], h_0 [B, H], W_hh [3H, H], begins [T, B, 1] or none) ->
    (h [T, B, H], h_T [B, H]).

    Overwrites x.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_TBG: Tensor,
        hidden_BH: Tensor,
        weight_hh: Tensor,
        begins_TB1: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        T, B, H = len(x_TBG), *hidden_BH.shape
        h_TBH, after_TBH = states(hidden_BH, T, begins_TB1)
        q_TBH, n_TBH = x_TBG.new_empty(T, B, H), x_TBG.new_empty(T, B, H)
        rz_TBG = x_TBG.detach()[:, :, : 2 * H]  # each step turns its own (x_r, x_z) into (r, z)
        rz, x_n, q, n = steps(rz_TBG, x_TBG[:, :, 2 * H :], q_TBH, n_TBH)
        (r, z), (h, after) = steps(*blocks(rz_TBG, 2)), steps(h_TBH, after_TBH)
        by_rz_t = By(weight_hh[: 2 * H].t(), hidden_BH, T)
        by_n_t = By(weight_hh[2 * H :].t(), hidden_BH, T)
        for t in range(T):
            if begins_TB1 is not None and t:
                cut(begins_TB1[t], after[t - 1], out=h[t])
            by_rz_t.addmm(rz[t], h[t], out=rz[t]).sigmoid_()
            torch.mul(r[t], h[t], out=q[t])
            tanh_(by_n_t.addmm(x_n[t], q[t], out=n[t]))
            torch.lerp(n[t], h[t], z[t], out=after[t])  # n + z * (h - n)
        ctx.save_for_backward(h_TBH, rz_TBG, n_TBH, q_TBH, weight_hh, begins_TB1)
        return after_TBH, after[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs_TBH: Tensor, d_final_BH: Tensor) -> tuple[Tensor | None, ...]:
        h_TBH, rz_TBG, n_TBH, q_TBH, weight_hh, begins_TB1 = ctx.saved_tensors
        T, B, H = n_TBH.shape
        r_TBH, z_TBH = blocks(rz_TBG, 2)
        # At first what δ_q, g and g are multiplied with; each step turns its own into δ.
        delta_TBG = n_TBH.new_empty(T, B, 3 * H)
        delta_r_TBH, delta_z_TBH, delta_n_TBH = blocks(delta_TBG, 3)
        times_complement(q_TBH, r_TBH, out=delta_r_TBH)  # h * r * (1 - r), as q = r * h
        torch.sub(h_TBH, n_TBH, out=delta_z_TBH).mul_(z_TBH)
        times_complement(delta_z_TBH, z_TBH, out=delta_z_TBH)
        times_complement(one_minus_square(n_TBH), z_TBH, out=delta_n_TBH)

        if begins_TB1 is not None:
            # From here on they lead to the state before.
            r_TBH, z_TBH = (gate.masked_fill(begins_TB1, 0) for gate in (r_TBH, z_TBH))
        g_TBH = gradients(d_outputs_TBH, d_final_BH)
        zn_by_gate, rz = steps(delta_TBG[:, :, H:].unflatten(2, (2, H)), delta_TBG[:, :, : 2 * H])
        delta_r, delta_n, r, z = steps(delta_r_TBH, delta_n_TBH, r_TBH, z_TBH)
        g, g_for_gates = steps(g_TBH, g_TBH.unsqueeze(2))
        by_rz, by_n = By(weight_hh[: 2 * H], rz[0], T), By(weight_hh[2 * H :], g[0], T)
        for t in reversed(range(T)):
            zn_by_gate[t].mul_(g_for_gates[t + 1])
            delta_q = by_n.mm(delta_n[t])
            delta_r[t].mul_(delta_q)
            g[t].addcmul_(g[t + 1], z[t]).addcmul_(r[t], delta_q)
            back = rz[t] if begins_TB1 is None else rz[t].masked_fill(begins_TB1[t], 0)
            by_rz.addmm(g[t], back, out=g[t])

        delta_rows = delta_TBG.flatten(0, 1)
        d_weight_rz_t = mm(h_TBH.flatten(0, 1).t(), delta_rows[:, : 2 * H])
        d_weight_n_t = mm(q_TBH.flatten(0, 1).t(), delta_rows[:, 2 * H :])
        return delta_TBG, g_TBH[0], torch.cat([d_weight_rz_t, d_weight_n_t], dim=1).t(), None
