"""One step of each cell as generation takes it, without autograd: NumPy's on a CPU, else torch's.

    B lanes · H hidden size of a layer · G gates × H · P what a cell makes of its input

A cell that isn't in the table is stepped by its own ``step``, one lane at a time, so that a lane's
values don't depend on how many others there are.
"""

import copy
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from charlm.cells import GRU, LSTM, RNN, SLSTM, Cell, MinGRU, MinLSTM
from charlm.errors import UserError
from charlm.generation.row_products import Array, Multiply, Product

# (what the cell makes of its input, which may be overwritten, *state) -> the state after.
Step = Callable[..., tuple[Array, ...]]


class Recipe(NamedTuple):
    """How to make the step of a cell.

    Args:
        weights: those that the step multiplies with, W of ``rows @ Wᵀ``, if any. If it is one alone,
            its product with the hidden state is the step's first.
        make: (numpy or torch, the cell with its parameters as arrays, the products) -> the step.
    """

    weights: Callable[[Any], list[Tensor]]
    make: Callable[..., Step]


def _weight_hh(cell: Cell) -> list[Tensor]:
    return [cell.weight_hh]


def _none(cell: Cell) -> list[Tensor]:
    return []


def _sigmoid(xp: ModuleType, a: Array) -> Array:
    """σ(a) = (1 + tanh(a / 2)) / 2 in place, which overflows nowhere."""
    a *= 0.5
    xp.tanh(a, out=a)
    a += 1
    a *= 0.5
    return a


def _log_sigmoid(xp: ModuleType, a: Array) -> Array:
    """log σ(a) = min(a, 0) - log(1 + exp(-|a|)), which overflows nowhere."""
    return xp.clip(a, None, 0) - xp.log1p(xp.exp(-xp.abs(a)))


def _rnn(xp: ModuleType, cell: RNN, product: Multiply) -> Step:
    tanh = xp.tanh if cell.nonlinearity == "tanh" else None

    def step(x_BG: Array, h: Array) -> tuple[Array, ...]:
        x_BG += product(h)
        return (tanh(x_BG, out=x_BG) if tanh else xp.clip(x_BG, 0, None),)

    return step


def _gru_weights(cell: GRU) -> list[Tensor]:
    H = cell.hidden_size
    return [cell.weight_hh] if cell.reset_after else list(cell.weight_hh.split([2 * H, H]))


def _gru(xp: ModuleType, cell: GRU, *products: Multiply) -> Step:
    make = _gru_reset_after if cell.reset_after else _gru_reset_before
    return make(xp, cell, *products)


def _gru_reset_after(xp: ModuleType, cell: GRU, product: Multiply) -> Step:
    H = cell.hidden_size
    assert cell.bias_hn is not None
    bias_hn = as_array(xp, cell.bias_hn)

    def step(x_BG: Array, h: Array) -> tuple[Array, ...]:
        a_BG = product(h)
        rz = x_BG[:, : 2 * H]
        rz += a_BG[:, : 2 * H]
        rz = _sigmoid(xp, rz)
        r, z = rz[:, :H], rz[:, H:]
        n = xp.tanh(x_BG[:, 2 * H :] + r * (a_BG[:, 2 * H :] + bias_hn))
        return ((1 - z) * n + z * h,)

    return step


def _gru_reset_before(xp: ModuleType, cell: GRU, product_rz: Multiply, product_n: Multiply) -> Step:
    H = cell.hidden_size

    def step(x_BG: Array, h: Array) -> tuple[Array, ...]:
        rz = product_rz(h)
        rz += x_BG[:, : 2 * H]
        rz = _sigmoid(xp, rz)
        r, z = rz[:, :H], rz[:, H:]
        n = xp.tanh(x_BG[:, 2 * H :] + product_n(r * h))
        return ((1 - z) * n + z * h,)

    return step


def _lstm(xp: ModuleType, cell: LSTM, product: Multiply) -> Step:
    H = cell.hidden_size

    def step(x_BG: Array, h: Array, c: Array) -> tuple[Array, ...]:
        x_BG += product(h)
        i_f = _sigmoid(xp, x_BG[:, : 2 * H])
        g = xp.tanh(x_BG[:, 2 * H : 3 * H])
        o = _sigmoid(xp, x_BG[:, 3 * H :])
        c = i_f[:, H:] * c + i_f[:, :H] * g
        return o * xp.tanh(c), c

    return step


def _min_gru(xp: ModuleType, cell: MinGRU) -> Step:
    H = cell.hidden_size

    def step(x_BG: Array, h: Array) -> tuple[Array, ...]:
        z, n = _sigmoid(xp, x_BG[:, :H]), x_BG[:, H:]
        return (h + z * (n - h),)

    return step


def _min_lstm(xp: ModuleType, cell: MinLSTM) -> Step:
    H = cell.hidden_size

    def step(x_BG: Array, h: Array) -> tuple[Array, ...]:
        log_fi, n = _log_sigmoid(xp, x_BG[:, : 2 * H]), x_BG[:, 2 * H :]
        # i / (f + i), which stands even where both gates are shut.
        i = _sigmoid(xp, log_fi[:, H:] - log_fi[:, :H])
        return (h + i * (n - h),)

    return step


def _slstm(xp: ModuleType, cell: SLSTM, product: Multiply) -> Step:
    H = cell.hidden_size

    def step(x_BG: Array, h: Array, c: Array, n: Array, m: Array) -> tuple[Array, ...]:
        x_BG += product(h)
        log_i, f = x_BG[:, :H], x_BG[:, H : 2 * H]
        log_f = f if cell.exponential_forget else _log_sigmoid(xp, f)
        kept = log_f + xp.where(n == 0, -xp.inf, m)  # n is 0 before the first character
        m = xp.maximum(kept, log_i)
        f, i = xp.exp(kept - m), xp.exp(log_i - m)
        c = f * c + i * xp.tanh(x_BG[:, 2 * H : 3 * H])
        n = f * n + i
        return _sigmoid(xp, x_BG[:, 3 * H :]) * c / n, c, n, m

    return step


# Exactly these classes.
RECIPES: dict[type[Cell], Recipe] = {
    RNN: Recipe(_weight_hh, _rnn),
    GRU: Recipe(_gru_weights, _gru),
    LSTM: Recipe(_weight_hh, _lstm),
    MinGRU: Recipe(_none, _min_gru),
    MinLSTM: Recipe(_none, _min_lstm),
    SLSTM: Recipe(_weight_hh, _slstm),
}


class CellSteps:
    """A cell as it is now, ready to step: its weights are copied.

    Args:
        cell: of any device and dtype.
        dtype: to step in.
        kept: what the weights of products are kept in (``charlm.generation.row_products``).

    Raises:
        UserError: shorter weights than float32's of a cell whose step isn't in the table.
    """

    def __init__(self, cell: Cell, dtype: torch.dtype, kept: str = "float32") -> None:
        self._cell = copy.deepcopy(cell).requires_grad_(False).to(dtype).eval()
        self._xp: ModuleType = np if self._cell.weight_ih.is_cpu else torch
        self._recipe = RECIPES.get(type(cell))
        self._product = partial(Product, kept=kept)
        if kept != "float32" and self._recipe is None:
            able = ", ".join(known.__name__ for known in RECIPES)
            raise UserError(
                f"weights {kept} is for {able}, not {type(cell).__name__}: leave it out."
            )
        if self._recipe is not None:
            self._bias = as_array(self._xp, self._cell.bias)
        self._by_input: Multiply | None = None

    @property
    def only_weight(self) -> Tensor | None:
        """The weight [.., H] that the step multiplies the hidden state with, if it is one alone."""
        weights = self._recipe.weights(self._cell) if self._recipe else []
        return weights[0] if len(weights) == 1 else None

    def table(self, inputs: Tensor) -> Array:
        """What the cell makes of each of V inputs, [V, P]: ids [V], or vectors [V, I]."""
        return as_array(self._xp, self._cell.project(inputs).contiguous())

    def project(self, rows: Array) -> Array:
        """What the cell makes of the outputs of the layer below, [B, I] -> [B, P]."""
        if self._recipe is None:
            return self._join([self._cell.project(row) for row in self._rows(rows)])
        if self._by_input is None:
            self._by_input = self._product(self._cell.weight_ih)
        return self._by_input(rows) + self._bias

    def make(self, product: Multiply | None = None) -> Step:
        """The step: (what the cell makes of its input, *state) -> state.

        Args:
            product: of the hidden state and ``only_weight``, if it is made elsewhere.
        """
        if self._recipe is None:
            return self._step_by_lanes
        products = [product] if product else map(self._product, self._recipe.weights(self._cell))
        return self._recipe.make(self._xp, self._cell, *products)

    def _step_by_lanes(self, x_BP: Array, *state: Array) -> tuple[Array, ...]:
        lanes = zip(self._rows(x_BP), *map(self._rows, state), strict=True)
        stepped = [self._cell.step(x_1P, tuple(parts)) for x_1P, *parts in lanes]
        return tuple(self._join(list(parts)) for parts in zip(*stepped, strict=True))

    def _rows(self, array: Array) -> list[Tensor]:
        """Each row by itself, [1, ..], at an address of its own: its bits may depend on that."""
        return [row.clone() for row in torch.as_tensor(array).split(1)]

    def _join(self, rows: list[Tensor]) -> Array:
        return as_array(self._xp, torch.cat(rows))


def as_array(xp: ModuleType, tensor: Tensor) -> Array:
    """A tensor as NumPy's or torch's, which share its memory."""
    return tensor.numpy() if xp is np else tensor
