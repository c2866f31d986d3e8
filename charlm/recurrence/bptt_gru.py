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

from charlm.recurrence.buffers import blocks, copy, gradients, states, steps
from charlm.recurrence.products import addmm, mm


class ResetAfter(torch.autograd.Function):
    """(x [T, B, 3H], h_0 [B, H], W_hh [3H, H], b_hn [H]) -> (h [T, B, H], h_T [B, H])."""

    @staticmethod
    def forward(
        ctx: Any, x_TBG: Tensor, hidden_BH: Tensor, weight_hh: Tensor, bias_hn: Tensor
    ) -> tuple[Tensor, Tensor]:
        T, H = len(x_TBG), hidden_BH.shape[1]
        h_TBH = states(hidden_BH, T)
        # At first (x_r, x_z, b_hn) and x_n; each step turns its own into (r, z, q) and n.
        gates_TBG = copy(x_TBG)
        gates_TBG[:, :, 2 * H :] = bias_hn
        n_TBH = copy(x_TBG[:, :, 2 * H :])
        gates, rz, h, n = steps(gates_TBG, gates_TBG[:, :, : 2 * H], h_TBH, n_TBH)
        r, z, q = steps(*blocks(gates_TBG, 3))
        weight_t = weight_hh.t()
        for t in range(T):
            addmm(gates[t], h[t], weight_t, out=gates[t])
            rz[t].sigmoid_()
            n[t].addcmul_(r[t], q[t]).tanh_()
            torch.lerp(n[t], h[t], z[t], out=h[t + 1])  # n + z * (h - n)
        ctx.save_for_backward(h_TBH, gates_TBG, n_TBH, weight_hh)
        # The final state is a copy, so that to carry it isn't to carry the whole buffer.
        return h_TBH[1:], h_TBH[T].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs_TBH: Tensor, d_final_BH: Tensor) -> tuple[Tensor | None, ...]:
        h_TBH, gates_TBG, n_TBH, weight_hh = ctx.saved_tensors
        T, H = len(d_outputs_TBH), d_final_BH.shape[1]
        r_TBH, z_TBH, q_TBH = blocks(gates_TBG, 3)
        # At first what g is multiplied with; each step turns its own into (δ_r, δ_z, δ_q).
        delta_TBG = torch.empty_like(gates_TBG)
        delta_r_TBH, delta_z_TBH, delta_q_TBH = blocks(delta_TBG, 3)
        by_n_TBH = (1 - z_TBH).mul_(1 - n_TBH.square())
        torch.mul(by_n_TBH, r_TBH, out=delta_q_TBH)
        torch.mul(delta_q_TBH, q_TBH, out=delta_r_TBH).mul_(1 - r_TBH)
        torch.sub(h_TBH[:-1], n_TBH, out=delta_z_TBH).mul_(z_TBH).mul_(1 - z_TBH)

        g_TBH = gradients(d_outputs_TBH, d_final_BH)
        delta, delta_by_gate = steps(delta_TBG, delta_TBG.unflatten(2, (3, H)))
        g, g_for_gates, z = steps(g_TBH, g_TBH.unsqueeze(2), z_TBH)
        for t in reversed(range(T)):
            delta_by_gate[t].mul_(g_for_gates[t + 1])
            g[t].addcmul_(g[t + 1], z[t])
            addmm(g[t], delta[t], weight_hh, out=g[t])

        delta_rows = delta_TBG.flatten(0, 1)
        d_weight_hh = mm(delta_rows.t(), h_TBH[:-1].flatten(0, 1))
        d_bias_hn = delta_rows[:, 2 * H :].sum(0)
        torch.mul(g_TBH[1:], by_n_TBH, out=delta_q_TBH)  # δ_n in δ_q's place: now it is ∂L/∂x
        return delta_TBG, g_TBH[0], d_weight_hh, d_bias_hn


class ResetBefore(torch.autograd.Function):
    """(x [T, B, 3H], h_0 [B, H], W_hh [3H, H]) -> (h [T, B, H], h_T [B, H])."""

    @staticmethod
    def forward(
        ctx: Any, x_TBG: Tensor, hidden_BH: Tensor, weight_hh: Tensor
    ) -> tuple[Tensor, Tensor]:
        T, H = len(x_TBG), hidden_BH.shape[1]
        h_TBH = states(hidden_BH, T)
        # At first (x_r, x_z) and x_n; each step turns its own into (r, z) and n.
        rz_TBG, n_TBH = map(copy, x_TBG.split([2 * H, H], dim=2))
        q_TBH = torch.empty_like(n_TBH)
        rz, h, n, q = steps(rz_TBG, h_TBH, n_TBH, q_TBH)
        r, z = steps(*blocks(rz_TBG, 2))
        weight_rz_t, weight_n_t = weight_hh[: 2 * H].t(), weight_hh[2 * H :].t()
        for t in range(T):
            addmm(rz[t], h[t], weight_rz_t, out=rz[t]).sigmoid_()
            torch.mul(r[t], h[t], out=q[t])
            addmm(n[t], q[t], weight_n_t, out=n[t]).tanh_()
            torch.lerp(n[t], h[t], z[t], out=h[t + 1])  # n + z * (h - n)
        ctx.save_for_backward(h_TBH, rz_TBG, n_TBH, q_TBH, weight_hh)
        return h_TBH[1:], h_TBH[T].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs_TBH: Tensor, d_final_BH: Tensor) -> tuple[Tensor | None, ...]:
        h_TBH, rz_TBG, n_TBH, q_TBH, weight_hh = ctx.saved_tensors
        T, H = len(d_outputs_TBH), d_final_BH.shape[1]
        r_TBH, z_TBH = blocks(rz_TBG, 2)
        # At first what δ_q, g and g are multiplied with; each step turns its own into δ.
        delta_TBG = h_TBH.new_empty(*n_TBH.shape[:2], 3 * H)
        delta_r_TBH, delta_z_TBH, delta_n_TBH = blocks(delta_TBG, 3)
        torch.mul(q_TBH, 1 - r_TBH, out=delta_r_TBH)  # h * r * (1 - r)
        torch.sub(h_TBH[:-1], n_TBH, out=delta_z_TBH).mul_(z_TBH).mul_(1 - z_TBH)
        torch.mul(1 - z_TBH, 1 - n_TBH.square(), out=delta_n_TBH)

        g_TBH = gradients(d_outputs_TBH, d_final_BH)
        zn_by_gate, rz = steps(delta_TBG[:, :, H:].unflatten(2, (2, H)), delta_TBG[:, :, : 2 * H])
        delta_r, delta_n, r, z = steps(delta_r_TBH, delta_n_TBH, r_TBH, z_TBH)
        g, g_for_gates = steps(g_TBH, g_TBH.unsqueeze(2))
        weight_rz, weight_n = weight_hh[: 2 * H], weight_hh[2 * H :]
        for t in reversed(range(T)):
            zn_by_gate[t].mul_(g_for_gates[t + 1])
            delta_q = mm(delta_n[t], weight_n)
            delta_r[t].mul_(delta_q)
            g[t].addcmul_(g[t + 1], z[t]).addcmul_(r[t], delta_q)
            addmm(g[t], rz[t], weight_rz, out=g[t])

        delta_rows = delta_TBG.flatten(0, 1)
        d_weight_rz = mm(delta_rows[:, : 2 * H].t(), h_TBH[:-1].flatten(0, 1))
        d_weight_n = mm(delta_rows[:, 2 * H :].t(), q_TBH.flatten(0, 1))
        return delta_TBG, g_TBH[0], torch.cat([d_weight_rz, d_weight_n])
