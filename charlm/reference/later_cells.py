"""One step forward of each cell of 2016 to 2024, from the papers' equations.

    B lanes · I input size · H hidden size

Each is a function of the parameters by name, laid out as in ``charlm.cells``, an input x [B, I] and
a state, [B, H] each; it gives the state after, whose first part is the output.
"""

from collections.abc import Callable
from math import erf

import numpy as np

from charlm.reference.cells import Array, Parameters, StateArrays, sigmoid

Step = Callable[[Parameters, Array, StateArrays], StateArrays]


def min_gru(p: Parameters, x: Array, state: StateArrays) -> StateArrays:
    """Feng et al. 2024, section 3.1."""
    (h,) = state
    W_z, W_n = np.split(p["weight_ih"], 2)
    b_z, b_n = np.split(p["bias"], 2)
    z = sigmoid(x @ W_z.T + b_z)
    return ((1 - z) * h + z * (x @ W_n.T + b_n),)


def min_lstm(p: Parameters, x: Array, state: StateArrays) -> StateArrays:
    """Feng et al. 2024, section 3.2."""
    (h,) = state
    W_f, W_i, W_n = np.split(p["weight_ih"], 3)
    b_f, b_i, b_n = np.split(p["bias"], 3)
    f, i = sigmoid(x @ W_f.T + b_f), sigmoid(x @ W_i.T + b_i)
    return (f / (f + i) * h + i / (f + i) * (x @ W_n.T + b_n),)


def rg_lru(p: Parameters, x: Array, state: StateArrays) -> StateArrays:
    """De et al. 2024, sections 2.3 and 2.4, the gates whole instead of block-diagonal."""
    _, h, u_1, u_2, u_3 = state
    u, v = np.split(x @ p["weight_ih"].T + p["bias"], 2, axis=1)
    window = np.stack([u, u_1, u_2, u_3])
    w = np.einsum("kh,kbh->bh", p["kernel"], window) + p["kernel_bias"]
    r, i = np.split(sigmoid(w @ p["weight_gates"].T + p["bias_gates"]), 2, axis=1)
    a = np.exp(-np.log1p(np.exp(p["decay"]))) ** (8 * r)
    new_h = a * h + np.sqrt(1 - a**2) * (i * w)
    gelu = v * (1 + np.vectorize(erf)(v / np.sqrt(2))) / 2
    return (gelu * new_h) @ p["weight_out"].T + p["bias_out"], new_h, u, u_1, u_2


def _lstm(a: Array, c: Array) -> tuple[Array, Array]:
    """The output gate and the memory after, from the preactivations [B, 4H]."""
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
    return sigmoid(a_o), sigmoid(a_f) * c + sigmoid(a_i) * np.tanh(a_g)


def mogrifier_lstm(p: Parameters, x: Array, state: StateArrays) -> StateArrays:
    """Melis et al. 2020, equations 1 and 2; ``gates.N.K``: of round N the K-th factor applied."""
    h, c = state
    number = 0
    while f"gates.{number}.0" in p:
        gate = x if number % 2 else h
        for name in sorted(name for name in p if name.startswith(f"gates.{number}.")):
            gate = gate @ p[name].T
        if number % 2:
            h = 2 * sigmoid(gate) * h
        else:
            x = 2 * sigmoid(gate) * x
        number += 1
    o, c = _lstm(x @ p["weight_ih"].T + p["bias"] + h @ p["weight_hh"].T, c)
    return o * np.tanh(c), c


def _normalised(a: Array) -> Array:
    mean = a.mean(axis=1, keepdims=True)
    variance = ((a - mean) ** 2).mean(axis=1, keepdims=True)
    return (a - mean) / np.sqrt(variance + 1e-5)


def layer_norm_lstm(p: Parameters, x: Array, state: StateArrays) -> StateArrays:
    """Ba et al. 2016, equations 20 to 22."""
    h, c = state
    from_h = p["gain_hh"] * _normalised(h @ p["weight_hh"].T)
    from_x = p["gain_ih"] * _normalised(x @ p["weight_ih"].T)
    o, c = _lstm(from_h + from_x + p["bias"], c)
    return o * np.tanh(p["gain_memory"] * _normalised(c) + p["bias_memory"]), c


def slstm(p: Parameters, x: Array, state: StateArrays) -> StateArrays:
    """Beck et al. 2024, equations 8 to 14, without the stabiliser: sums of plain exponentials.

    The state is (h, c, n), which overflows where the stabilised one doesn't.
    """
    h, c, n = state
    a_i, a_f, a_g, a_o = np.split(
        x @ p["weight_ih"].T + p["bias"] + h @ p["weight_hh"].T, 4, axis=1
    )
    i, f = np.exp(a_i), sigmoid(a_f)
    c, n = f * c + i * np.tanh(a_g), f * n + i
    return sigmoid(a_o) * c / n, c, n


STEPS: dict[str, Step] = {
    "min_gru": min_gru,
    "min_lstm": min_lstm,
    "rg_lru": rg_lru,
    "mogrifier_lstm": mogrifier_lstm,
    "layer_norm_lstm": layer_norm_lstm,
    "slstm": slstm,
}


def linear_recurrence(a_TBH: Array, b_TBH: Array, hidden_BH: Array) -> Array:
    """h_t = a_t * h_(t-1) + b_t, [T, B, H]."""
    h_TBH, h = [], hidden_BH
    for a, b in zip(a_TBH, b_TBH, strict=True):
        h = a * h + b
        h_TBH.append(h)
    return np.stack(h_TBH)


def linear_recurrence_backward(
    a_TBH: Array, b_TBH: Array, hidden_BH: Array, d_h_TBH: Array
) -> tuple[Array, Array, Array]:
    """d_a, d_b [T, B, H] and d_h_0 [B, H] of a loss with the derivatives d_h by the outputs alone.

    By its definition, term by term: h_t holds b_s times a_(s+1) ... a_t, and h_0 times a_1 ... a_t.
    """
    T = len(a_TBH)
    h_TBH = np.concatenate([hidden_BH[None], linear_recurrence(a_TBH, b_TBH, hidden_BH)])
    d_a_TBH, d_b_TBH, d_h = np.zeros_like(a_TBH), np.zeros_like(b_TBH), np.zeros_like(hidden_BH)
    for t in range(T):
        d_h += d_h_TBH[t] * np.prod(a_TBH[: t + 1], axis=0)
        for s in range(t + 1):
            reaches = d_h_TBH[t] * np.prod(a_TBH[s + 1 : t + 1], axis=0)
            d_b_TBH[s] += reaches
            d_a_TBH[s] += reaches * h_TBH[s]
    return d_a_TBH, d_b_TBH, d_h
