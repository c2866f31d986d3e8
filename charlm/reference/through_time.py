"""Gradients through time: BPTT, truncated BPTT, and RTRL, which needs no way back.

T time steps · B lanes · I input size · H hidden size

The loss L is any function of the outputs and the final state of a cell; what reaches it here is
its derivative by them, ``d_outputs_TBH`` and ``d_state``.
"""
# ruff: noqa: E741 - I is the input size.

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from charlm.reference.cells import RNN, Array, Cell, Parameters, StateArrays, Trace, checked


@dataclass(eq=False)
class Unrolled:
    """A cell's run over T steps: its outputs, the state after, and a trace a step for BPTT."""

    outputs_TBH: Array
    state: StateArrays
    traces: list[Trace]


@dataclass(eq=False)
class Gradients:
    """∂L/∂ the inputs [T, B, I], the parameters (by name) and the initial state ([B, H] each)."""

    inputs_TBI: Array
    parameters: Parameters
    state: StateArrays


def checked_state(cell: Cell, state: tuple[ArrayLike, ...] | None, num_lanes: int) -> StateArrays:
    """``state`` as float64 [B, H] each, zeros for None; a ValueError if it isn't the cell's."""
    if state is None:
        return cell.initial_state(num_lanes)
    if len(state) != cell.num_states:
        raise ValueError(f"a state of {len(state)} parts, and the cell's has {cell.num_states}")
    return tuple(checked("state", part, num_lanes, cell.hidden_size) for part in state)


def unroll(cell: Cell, x_TBI: ArrayLike, state: tuple[ArrayLike, ...] | None = None) -> Unrolled:
    """Run ``cell`` over the inputs [T, B, I] from ``state`` ([B, H] each; None: zeros).

    Raises:
        ValueError: a shape that isn't the cell's.
    """
    x_TBI = np.asarray(x_TBI, dtype=np.float64)
    T, B, _ = x_TBI.shape
    checked("x", x_TBI, T, B, cell.input_size)
    now = checked_state(cell, state, B)
    outputs_TBH = np.zeros((T, B, cell.hidden_size))
    traces = []
    for t in range(T):
        now, trace = cell.step(x_TBI[t], now)
        outputs_TBH[t] = now[0]
        traces.append(trace)
    return Unrolled(outputs_TBH, now, traces)


def bptt(
    cell: Cell,
    unrolled: Unrolled,
    d_outputs_TBH: ArrayLike,
    d_state: tuple[ArrayLike, ...] | None = None,
) -> Gradients:
    """Back-propagation through time (Werbos 1990; d2l.ai, "Backpropagation Through Time").

    The state of step t reaches L by its output and by the state of step t + 1:
    ∂L/∂s_t = ∂L/∂output_t + (∂s_{t+1}/∂s_t)ᵀ ∂L/∂s_{t+1}

    Args:
        cell: as it was in ``unroll``: unroll anew after a change of its parameters.
        unrolled: what ``unroll`` returned.
        d_outputs_TBH: ∂L/∂ each step's output, [T, B, H].
        d_state: ∂L/∂ the final state, [B, H] each, beyond what the last output accounts for
            (None: zeros).

    Raises:
        ValueError: a shape that isn't that of what it is the derivative by.
    """
    T, B, H = unrolled.outputs_TBH.shape
    d_outputs_TBH = checked("d_outputs", d_outputs_TBH, T, B, H)
    d_now = checked_state(cell, d_state, B)
    d_x_TBI = np.zeros((T, B, cell.input_size))
    d_parameters = {name: np.zeros_like(value) for name, value in cell.parameters.items()}
    for t in reversed(range(T)):
        d_now = (d_now[0] + d_outputs_TBH[t], *d_now[1:])
        d_x_TBI[t], d_now, d_step = cell.step_backward(unrolled.traces[t], d_now)
        for name, share in d_step.items():
            d_parameters[name] += share
    return Gradients(d_x_TBI, d_parameters, d_now)


def truncated_bptt(
    cell: Cell,
    x_TBI: ArrayLike,
    state: tuple[ArrayLike, ...] | None,
    d_outputs_TBH: ArrayLike,
    k1: int,
    k2: int,
) -> Gradients:
    """BPTT(k2; k1) of Williams & Peng (1990), at the end of the sequence.

    The gradient of the last k1 steps' loss, back-propagation cut k2 steps before the end, at the
    state that the cell, run from the start, has there; of a sequence of k2 steps or fewer nothing
    is cut. ``truncated_updates`` has the updates of a model's parameters in between.

    Args:
        cell: the recurrent layer.
        x_TBI: all T inputs.
        state: before the first of them (None: zeros).
        d_outputs_TBH: ∂L/∂ each step's output; only the last k1 count.
        k1: steps from one update to the next.
        k2: steps to go back, at least k1, or else some loss would never be felt.

    Returns:
        The gradients by the parameters, by the last k2 inputs [min(k2, T), B, I] and by the state
        before them.

    Raises:
        ValueError: not 1 <= k1 <= k2, or a shape that isn't the cell's.
    """
    check_truncation(k1, k2)
    x_TBI = np.asarray(x_TBI, dtype=np.float64)
    T, B, _ = x_TBI.shape
    d_loss_TBH = checked("d_outputs", d_outputs_TBH, T, B, cell.hidden_size).copy()
    d_loss_TBH[:-k1] = 0
    before = unroll(cell, x_TBI[:-k2], state)
    last = unroll(cell, x_TBI[-k2:], before.state)
    return bptt(cell, last, d_loss_TBH[-k2:])


def check_truncation(k1: int, k2: int) -> None:
    if not 1 <= k1 <= k2:
        raise ValueError(f"k1 is {k1} and k2 is {k2}: they must be 1 <= k1 <= k2")


def rtrl(
    cell: RNN,
    x_TBI: ArrayLike,
    state: tuple[ArrayLike, ...] | None,
    d_outputs_TBH: ArrayLike,
) -> Parameters:
    """Real-time recurrent learning (Williams & Zipser 1989): ∂L/∂ the parameters, as BPTT's.

    With u = (x, h, 1), all weights one matrix W = (W_ih, W_hh, b) [H, K] and K = I + H + 1:

    h'_k = φ(Σ_j W_kj u_j)
    ∂h'_k/∂W_ij = φ'_k (Σ_l W_hh,kl ∂h_l/∂W_ij + δ_ki u_j)
    ∂L/∂W_ij = Σ_t Σ_k ∂L_t/∂h_k ∂h_k/∂W_ij

    The sensitivities ∂h/∂W travel forward with the state, so that each step's gradient is known
    at that step, for any T in the same memory: H²K numbers a lane, and H³K multiply-adds a step.

    Args:
        cell: an RNN.
        x_TBI: inputs.
        state: before the first of them (None: zeros); it doesn't depend on the parameters.
        d_outputs_TBH: ∂L_t/∂h_t, where L = Σ_t L_t and L_t sees only the output of step t.

    Raises:
        ValueError: a shape that isn't the cell's.
    """
    x_TBI = np.asarray(x_TBI, dtype=np.float64)
    T, B, I = x_TBI.shape
    H, K = cell.hidden_size, I + cell.hidden_size + 1
    d_outputs_TBH = checked("d_outputs", d_outputs_TBH, T, B, H)
    checked("x", x_TBI, T, B, cell.input_size)
    now = checked_state(cell, state, B)
    sensitivity_BHW = np.zeros((B, H, H * K))  # ∂h_k/∂W_ij, the axes i, j in one
    d_W = np.zeros(H * K)
    for t in range(T):
        u_BK = np.concatenate([x_TBI[t], now[0], np.ones((B, 1))], axis=1)
        now, _ = cell.step(x_TBI[t], now)
        sensitivity_BHW = cell.weight_hh @ sensitivity_BHW
        for k in range(H):
            sensitivity_BHW[:, k, k * K : (k + 1) * K] += u_BK
        sensitivity_BHW *= cell.slope(now[0])[:, :, None]
        d_W += (d_outputs_TBH[t][:, None, :] @ sensitivity_BHW).sum(axis=(0, 1))
    d_W_HK = d_W.reshape(H, K)
    return {"weight_ih": d_W_HK[:, :I], "weight_hh": d_W_HK[:, I:-1], "bias": d_W_HK[:, -1]}
