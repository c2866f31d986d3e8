"""The model's single step, without autograd, and with little else than its arithmetic.

    B lanes · V vocabulary · H hidden size of a layer · G gates × H

On a CPU the step is NumPy's, whose calls cost a quarter of torch's; elsewhere it is torch's. A
lane's values are the same to the last bit whether it is stepped alone or among others: so are the
products (``charlm.generation.row_products``), and everything else is done element by element.
"""

from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.cells import GRU, LSTM, RNN, Cell
from charlm.errors import UserError
from charlm.generation.row_products import Array, Multiply, Product, StackedProducts
from charlm.model import CharLM
from charlm.text.vocabulary import UNKNOWN_ID

# As ``charlm.model.ModelState``: of each layer the parts of its state, [B, H] each.
State = tuple[tuple[Array, ...], ...]


class Stepper:
    """A model as it is now, ready to step: its weights are copied, dropout has no part in it.

    Args:
        model: of any device and dtype; half precision is stepped in float32.

    Raises:
        UserError: the model has a cell of one's own.
    """

    def __init__(self, model: CharLM) -> None:
        weight = model.output.weight
        self.device = weight.device
        self.dtype = weight.dtype if weight.dtype == torch.float64 else torch.float32
        self._xp: ModuleType = np if self.device.type == "cpu" else torch
        first = model.cells[0]
        # A one-hot vector times W_ih is a column of it; an embedding is one of V vectors.
        if model.embedding is None:
            table_VG = self._copy(first.weight_ih.t()) + self._copy(first.bias)
        else:
            embedding_VE = self._copy(model.embedding.weight)
            table_VG = F.linear(embedding_VE, self._copy(first.weight_ih), self._copy(first.bias))
        self._table_VG = self._array(table_VG.contiguous())
        self._projections = [
            (Product(self._as_is(cell.weight_ih)), self._array(self._copy(cell.bias)))
            for cell in model.cells[1:]
        ]
        self._reads_all = model.readout == "concat"
        last = model.cells[-1]
        if self._reads_all or (isinstance(last, GRU) and not last.reset_after):
            self._output: Multiply = Product(self._as_is(weight))
            self._steps = [self._step_of(cell) for cell in model.cells]
        else:
            stacked = StackedProducts(self._as_is(last.weight_hh), self._as_is(weight))
            self._output = stacked.output
            self._steps = [self._step_of(cell) for cell in model.cells[:-1]]
            self._steps.append(self._step_of(last, stacked.recurrent))
        # As a row: NumPy adds it in half the time.
        output_bias_1V = self._copy(model.output.bias).unsqueeze(0)
        output_bias_1V[:, UNKNOWN_ID] = -torch.inf
        self._output_bias_1V = self._array(output_bias_1V)
        self._parts = [(len(cell.state_names), cell.hidden_size) for cell in model.cells]

    def _copy(self, parameter: Tensor) -> Tensor:
        return parameter.detach().to(self.dtype, copy=True)

    def _as_is(self, parameter: Tensor) -> Tensor:
        """For who copies it."""
        return parameter.detach().to(self.dtype)

    def _array(self, tensor: Tensor) -> Array:
        return tensor.numpy() if self._xp is np else tensor

    def from_numpy(self, array: np.ndarray) -> Array:
        """An array of the kind that states are made of."""
        return array if self._xp is np else torch.from_numpy(array).to(self.device)

    def initial_state(self, num_lanes: int) -> State:
        """Zeros [B, H] for every part of the state, as at the start of a text."""
        return tuple(
            tuple(
                self._array(torch.zeros(num_lanes, H, dtype=self.dtype, device=self.device))
                for _ in range(num_parts)
            )
            for num_parts, H in self._parts
        )

    def step(self, ids_B: np.ndarray, state: State) -> State:
        """The state after each lane has read one more character; the state before stays as it is.

        Args:
            ids_B: their ids (int64).
            state: before.
        """
        if self._xp is np:
            x_BG = self._table_VG.take(ids_B, axis=0)
        else:
            x_BG = self._table_VG[self.from_numpy(ids_B)]
        new_state: State = (self._steps[0](x_BG, *state[0]),)
        for layer, (product, bias_G) in enumerate(self._projections, start=1):
            x_BG = product(new_state[-1][0]) + bias_G
            new_state = *new_state, self._steps[layer](x_BG, *state[layer])
        return new_state

    def logits(self, state: State) -> np.ndarray:
        """Logits [B, V] for the character that follows, on the host; ``<unk>``'s is -∞: it is none."""
        read = state[-1][0]
        if self._reads_all:
            outputs = [cell_state[0] for cell_state in state]
            read = self._join(outputs, 1)
        logits_BV = self._output(read) + self._output_bias_1V
        return logits_BV if isinstance(logits_BV, np.ndarray) else logits_BV.cpu().numpy()

    def read(self, ids: Sequence[int], state: State) -> State:
        """The state after one lane has read one character after the other."""
        for id_ in ids:
            state = self.step(np.array([id_]), state)
        return state

    def stack(self, states: Sequence[State]) -> State:
        """The lanes of several states in one."""
        return tuple(
            tuple(self._join(parts, 0) for parts in zip(*layer, strict=True))
            for layer in zip(*states, strict=True)
        )

    def _join(self, arrays: Sequence[Array], axis: int) -> Array:
        return np.concatenate(arrays, axis) if self._xp is np else torch.cat(tuple(arrays), axis)

    def _step_of(
        self, cell: Cell, product: Multiply | None = None
    ) -> Callable[..., tuple[Array, ...]]:
        """The cell's step as ``charlm.cells`` defines it: (x_BG, *state) -> state."""
        H = cell.hidden_size
        if isinstance(cell, GRU) and not cell.reset_after:
            weight_rz, weight_n = self._as_is(cell.weight_hh).split([2 * H, H])
            return _gru_reset_before(self._xp, Product(weight_rz), Product(weight_n), H)
        product = product or Product(self._as_is(cell.weight_hh))
        if isinstance(cell, RNN):
            return _rnn(self._xp, product, cell.nonlinearity)
        if isinstance(cell, LSTM):
            return _lstm(self._xp, product, H)
        if isinstance(cell, GRU) and cell.bias_hn is not None:
            bias_hn = self._array(self._copy(cell.bias_hn))
            return _gru_reset_after(self._xp, product, bias_hn, H)
        raise UserError(
            f"The cell {type(cell).__name__} can't generate: write its step in charlm.generation.step."
        )


def choose_lanes(state: State, which: Sequence[int]) -> State:
    """A copy of some lanes of a state, in this order; a lane may be named many times."""
    return tuple(tuple(part[list(which)] for part in cell_state) for cell_state in state)


# Below, x_BG is the input's part of the preactivation, and may be overwritten.


def _sigmoid(xp: ModuleType, a: Array) -> Array:
    """σ(a) = (1 + tanh(a / 2)) / 2 in place, which overflows nowhere."""
    a *= 0.5
    xp.tanh(a, out=a)
    a += 1
    a *= 0.5
    return a


def _rnn(xp: ModuleType, product: Multiply, nonlinearity: str) -> Callable[..., tuple[Array, ...]]:
    tanh = xp.tanh if nonlinearity == "tanh" else None

    def step(x_BG: Array, h: Array) -> tuple[Array, ...]:
        x_BG += product(h)
        return (tanh(x_BG, out=x_BG) if tanh else xp.clip(x_BG, 0, None),)

    return step


def _gru_reset_after(
    xp: ModuleType, product: Multiply, bias_hn: Array, H: int
) -> Callable[..., tuple[Array, ...]]:
    def step(x_BG: Array, h: Array) -> tuple[Array, ...]:
        a_BG = product(h)
        rz = x_BG[:, : 2 * H]
        rz += a_BG[:, : 2 * H]
        rz = _sigmoid(xp, rz)
        r, z = rz[:, :H], rz[:, H:]
        n = xp.tanh(x_BG[:, 2 * H :] + r * (a_BG[:, 2 * H :] + bias_hn))
        return ((1 - z) * n + z * h,)

    return step


def _gru_reset_before(
    xp: ModuleType, product_rz: Multiply, product_n: Multiply, H: int
) -> Callable[..., tuple[Array, ...]]:
    def step(x_BG: Array, h: Array) -> tuple[Array, ...]:
        rz = product_rz(h)
        rz += x_BG[:, : 2 * H]
        rz = _sigmoid(xp, rz)
        r, z = rz[:, :H], rz[:, H:]
        n = xp.tanh(x_BG[:, 2 * H :] + product_n(r * h))
        return ((1 - z) * n + z * h,)

    return step


def _lstm(xp: ModuleType, product: Multiply, H: int) -> Callable[..., tuple[Array, ...]]:
    def step(x_BG: Array, h: Array, c: Array) -> tuple[Array, ...]:
        x_BG += product(h)
        i_f = _sigmoid(xp, x_BG[:, : 2 * H])
        g = xp.tanh(x_BG[:, 2 * H : 3 * H])
        o = _sigmoid(xp, x_BG[:, 3 * H :])
        c = i_f[:, H:] * c + i_f[:, :H] * g
        return o * xp.tanh(c), c

    return step
