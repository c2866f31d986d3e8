"""One step of each cell, forward and backward: the equations, and their derivatives by hand.

    T time steps · B lanes (batch rows) · I input size · H hidden size · G gates × H · V vocabulary

Names end in their axes (``hidden_BH``); in the equations a bare lower-case letter is [B, H].
``d_y`` is the derivative of the loss by ``y``. Parameters are named and laid out as in
``charlm.cells``, and copied, so that training what they came from doesn't move the judge.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]
StateArrays: TypeAlias = tuple[Array, ...]  # (hidden_BH,), for the LSTM (hidden_BH, memory_BH)
Trace: TypeAlias = tuple[Array, ...]  # what a step's backward needs of its forward
Parameters: TypeAlias = dict[str, Array]  # also their gradients, under the same names


def sigmoid(a: Array) -> Array:
    """σ(a) = 1 / (1 + e^-a) = e^(-log(e^0 + e^-a)), without overflow."""
    return np.exp(-np.logaddexp(0, -a))


def checked(name: str, array: ArrayLike, *shape: int) -> Array:
    """``array`` as float64; a ValueError if its shape is another: nothing may broadcast here."""
    values = np.asarray(array, dtype=np.float64)
    if values.shape != shape:
        raise ValueError(f"{name} is of shape {values.shape}, and must be of shape {shape}")
    return values


@dataclass(eq=False)
class Cell(ABC):
    """One recurrent layer: a step forward, and the same step backward.

    Parameters: weight_ih [G, I], weight_hh [G, H], bias [G], the gates one above the other.
    Anything NumPy takes for an array will do; a ValueError if the shapes don't agree.
    """

    weight_ih: Array
    weight_hh: Array
    bias: Array

    num_gates: ClassVar[int]
    num_states: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name, value in self.parameters.items():
            setattr(self, name, np.array(value, dtype=np.float64))
        G = self.num_gates * self.hidden_size
        checked("weight_hh", self.weight_hh, G, self.hidden_size)
        checked("weight_ih", self.weight_ih, G, self.input_size)
        checked("bias", self.bias, G)

    @property
    def parameters(self) -> Parameters:
        """The arrays themselves, by name."""
        names = ("weight_ih", "weight_hh", "bias", "bias_hn")
        return {name: vars(self)[name] for name in names if vars(self).get(name) is not None}

    @property
    def input_size(self) -> int:
        return self.weight_ih.shape[1]

    @property
    def hidden_size(self) -> int:
        return self.weight_hh.shape[1]

    def initial_state(self, num_lanes: int) -> StateArrays:
        return tuple(np.zeros((num_lanes, self.hidden_size)) for _ in range(self.num_states))

    @abstractmethod
    def step(self, x_BI: Array, state: StateArrays) -> tuple[StateArrays, Trace]:
        """The state after one time step, whose first part is the output, and the trace."""

    @abstractmethod
    def step_backward(
        self, trace: Trace, d_state: StateArrays
    ) -> tuple[Array, StateArrays, Parameters]:
        """From d_(state after): d_x_BI, d_(state before) and this step's share of d_parameters."""


@dataclass(eq=False)
class RNN(Cell):
    """h' = φ(a), a = W_ih x + b + W_hh h; φ = tanh or relu (Elman 1990)."""

    nonlinearity: str = "tanh"
    num_gates = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"unknown nonlinearity {self.nonlinearity!r}")

    def step(self, x_BI: Array, state: StateArrays) -> tuple[StateArrays, Trace]:
        (h,) = state
        a = x_BI @ self.weight_ih.T + self.bias + h @ self.weight_hh.T
        new_h = np.tanh(a) if self.nonlinearity == "tanh" else np.maximum(a, 0)
        return (new_h,), (x_BI, h, new_h)

    def slope(self, new_h: Array) -> Array:
        """φ'(a) by way of h' = φ(a): 1 - h'² for tanh; for relu 1 where h' > 0, else 0."""
        return 1 - new_h**2 if self.nonlinearity == "tanh" else np.where(new_h > 0, 1.0, 0.0)

    def step_backward(
        self, trace: Trace, d_state: StateArrays
    ) -> tuple[Array, StateArrays, Parameters]:
        x_BI, h, new_h = trace
        (d_new_h,) = d_state
        d_a = d_new_h * self.slope(new_h)
        d_parameters = {"weight_ih": d_a.T @ x_BI, "weight_hh": d_a.T @ h, "bias": d_a.sum(axis=0)}
        return d_a @ self.weight_ih, (d_a @ self.weight_hh,), d_parameters


@dataclass(eq=False)
class GRU(Cell):
    """The gated recurrent unit: with ``bias_hn`` [H] reset after the product, without it before.

    r = σ(W_ir x + b_r + W_hr h)
    z = σ(W_iz x + b_z + W_hz h)
    reset after (cuDNN, torch.nn):          n = tanh(W_in x + b_n + r * q), q = W_hn h + b_hn
    reset before (d2l.ai; Cho et al. 2014): n = tanh(W_in x + b_n + W_hn q), q = r * h
    h' = (1 - z) * n + z * h
    """

    bias_hn: Array | None = None
    num_gates = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bias_hn is not None:
            checked("bias_hn", self.bias_hn, self.hidden_size)

    def step(self, x_BI: Array, state: StateArrays) -> tuple[StateArrays, Trace]:
        (h,) = state
        x_r, x_z, x_n = np.split(x_BI @ self.weight_ih.T + self.bias, 3, axis=1)
        weight_hr, weight_hz, weight_hn = np.split(self.weight_hh, 3)
        r = sigmoid(x_r + h @ weight_hr.T)
        z = sigmoid(x_z + h @ weight_hz.T)
        if self.bias_hn is not None:
            q = h @ weight_hn.T + self.bias_hn
            n = np.tanh(x_n + r * q)
        else:
            q = r * h
            n = np.tanh(x_n + q @ weight_hn.T)
        return ((1 - z) * n + z * h,), (x_BI, h, r, z, n, q)

    def step_backward(
        self, trace: Trace, d_state: StateArrays
    ) -> tuple[Array, StateArrays, Parameters]:
        x_BI, h, r, z, n, q = trace
        (d_new_h,) = d_state
        weight_hr, weight_hz, weight_hn = np.split(self.weight_hh, 3)
        # Of the gates' preactivations: σ' = σ (1 - σ), tanh' = 1 - tanh².
        d_n = d_new_h * (1 - z) * (1 - n**2)
        d_z = d_new_h * (h - n) * z * (1 - z)
        if self.bias_hn is not None:
            d_q = d_n * r
            d_r = d_n * q * r * (1 - r)
            d_weight_hn, d_h_by_q = d_q.T @ h, d_q @ weight_hn
        else:
            d_q = d_n @ weight_hn
            d_r = d_q * h * r * (1 - r)
            d_weight_hn, d_h_by_q = d_n.T @ q, d_q * r
        d_h = d_new_h * z + d_r @ weight_hr + d_z @ weight_hz + d_h_by_q
        d_preactivation_BG = np.concatenate([d_r, d_z, d_n], axis=1)
        d_parameters = {
            "weight_ih": d_preactivation_BG.T @ x_BI,
            "weight_hh": np.concatenate([d_r.T @ h, d_z.T @ h, d_weight_hn]),
            "bias": d_preactivation_BG.sum(axis=0),
        }
        if self.bias_hn is not None:
            d_parameters["bias_hn"] = d_q.sum(axis=0)
        return d_preactivation_BG @ self.weight_ih, (d_h,), d_parameters


@dataclass(eq=False)
class LSTM(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; the forget gate, Gers 2000).

    i = σ(W_ii x + b_i + W_hi h)    f = σ(W_if x + b_f + W_hf h)
    g = tanh(W_ig x + b_g + W_hg h)    o = σ(W_io x + b_o + W_ho h)
    c' = f * c + i * g
    h' = o * tanh(c')
    """

    num_gates = 4
    num_states = 2

    def step(self, x_BI: Array, state: StateArrays) -> tuple[StateArrays, Trace]:
        h, c = state
        preactivation_BG = x_BI @ self.weight_ih.T + self.bias + h @ self.weight_hh.T
        a_i, a_f, a_g, a_o = np.split(preactivation_BG, 4, axis=1)
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
        new_c = f * c + i * g
        return (o * np.tanh(new_c), new_c), (x_BI, h, c, i, f, g, o, new_c)

    def step_backward(
        self, trace: Trace, d_state: StateArrays
    ) -> tuple[Array, StateArrays, Parameters]:
        x_BI, h, c, i, f, g, o, new_c = trace
        d_new_h, d_new_c = d_state
        d_new_c = d_new_c + d_new_h * o * (1 - np.tanh(new_c) ** 2)
        d_i = d_new_c * g * i * (1 - i)
        d_f = d_new_c * c * f * (1 - f)
        d_g = d_new_c * i * (1 - g**2)
        d_o = d_new_h * np.tanh(new_c) * o * (1 - o)
        d_preactivation_BG = np.concatenate([d_i, d_f, d_g, d_o], axis=1)
        d_parameters = {
            "weight_ih": d_preactivation_BG.T @ x_BI,
            "weight_hh": d_preactivation_BG.T @ h,
            "bias": d_preactivation_BG.sum(axis=0),
        }
        d_h = d_preactivation_BG @ self.weight_hh
        return d_preactivation_BG @ self.weight_ih, (d_h, d_new_c * f), d_parameters
