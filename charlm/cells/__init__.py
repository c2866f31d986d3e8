"""The recurrent cells from scratch: the equations, the parameters, one step.

    T time steps · B lanes (batch rows) · I input size · H hidden size · G gates × H

A cell doesn't know time: the loop over steps, the stack of layers and the start of a new text
live outside it (``charlm.recurrence``, ``charlm.model``). Its parameters are named and laid out
as in ``torch.nn``, with one bias where ``torch.nn`` keeps two that are only ever added.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.errors import UserError

# What a cell hands from one step to the next: (hidden_BH,), for the LSTM (hidden_BH, memory_BH).
State = tuple[Tensor, ...]


class Cell(nn.Module, ABC):
    """One recurrent layer's parameters and its single step.

    Args:
        input_size: I, for one-hot inputs the number of symbols.
        hidden_size: H.

    Parameters:
        weight_ih [G·H, I], weight_hh [G·H, H], bias [G·H]: the gates' blocks one above the other.

    Raises:
        UserError: a size below 1.
    """

    num_gates: ClassVar[int]
    state_names: ClassVar[tuple[str, ...]] = ("hidden",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        if input_size < 1 or hidden_size < 1:
            raise UserError(
                f"A cell of {hidden_size} hidden units over {input_size} inputs can't be built: "
                "both sizes must be at least 1 (hidden_sizes, embedding_size)."
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        rows = self.num_gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias = nn.Parameter(torch.empty(rows))

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"

    def initial_state(self, num_lanes: int) -> State:
        """Zeros [B, H] for every part of the state, as at the start of a text."""
        zeros_BH = self.weight_hh.new_zeros(num_lanes, self.hidden_size)
        return tuple(zeros_BH.clone() for _ in self.state_names)

    def project(self, inputs: Tensor) -> Tensor:
        """W_ih x + b, for all time steps at once, since it needs no recurrence.

        Args:
            inputs: symbol ids [...] (integers), standing for one-hot vectors, or vectors [..., I].

        Returns:
            The input's part of every gate's preactivation, [..., G·H]: a new tensor, which who
            asked for it may overwrite.

        A one-hot vector times W_ih is a column of it: it is gathered, the one-hot is never built.
        """
        if inputs.dtype == torch.long:
            columns = self.weight_ih.t()
            # A table of contiguous rows is fast to gather from, but slow to make for a few ids.
            if inputs.numel() > self.input_size:
                return F.embedding(inputs, columns.contiguous() + self.bias)
            return F.embedding(inputs, columns) + self.bias
        return F.linear(inputs, self.weight_ih, self.bias)

    @abstractmethod
    def step(self, preactivation_BG: Tensor, state: State) -> State:
        """One time step.

        Args:
            preactivation_BG: W_ih x + b of this step, [B, G·H], as ``project`` returns it.
            state: the state before, [B, H] each.

        Returns:
            The state after; its first part is the step's output.
        """


@final
class RNN(Cell):
    """The simple recurrent network (Elman 1990; d2l.ai, "RNN from scratch").

    h' = φ(W_ih x + b + W_hh h), φ = tanh or relu
    """

    num_gates = 1

    def __init__(self, input_size: int, hidden_size: int, nonlinearity: str = "tanh") -> None:
        super().__init__(input_size, hidden_size)
        if nonlinearity not in ("tanh", "relu"):
            raise UserError(f"Unknown nonlinearity {nonlinearity!r}: choose tanh or relu.")
        self.nonlinearity = nonlinearity

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, nonlinearity={self.nonlinearity}"

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        (h,) = state
        a = torch.addmm(preactivation_BG, h, self.weight_hh.t())
        return (torch.tanh(a) if self.nonlinearity == "tanh" else torch.relu(a),)


@final
class GRU(Cell):
    """The gated recurrent unit, in its two forms, which are different functions.

    r = σ(W_ir x + b_r + W_hr h)
    z = σ(W_iz x + b_z + W_hz h)
    reset_after=True (cuDNN, torch.nn, Keras):   n = tanh(W_in x + b_n + r * (W_hn h + b_hn))
    reset_after=False (the book; Cho et al. 2014): n = tanh(W_in x + b_n + W_hn (r * h))
    h' = (1 - z) * n + z * h

    The gates are laid out r, z, n. ``bias_hn`` [H] exists with ``reset_after=True`` only.
    """

    num_gates = 3

    def __init__(self, input_size: int, hidden_size: int, reset_after: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self.reset_after = reset_after
        self.bias_hn = nn.Parameter(torch.empty(hidden_size)) if reset_after else None

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, reset_after={self.reset_after}"

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        (h,) = state
        H = self.hidden_size
        x_rz, x_n = preactivation_BG.split([2 * H, H], dim=1)
        weight_rz, weight_n = self.weight_hh.split([2 * H, H])
        r, z = torch.sigmoid(torch.addmm(x_rz, h, weight_rz.t())).chunk(2, dim=1)
        if self.reset_after:
            n = torch.tanh(x_n + r * F.linear(h, weight_n, self.bias_hn))
        else:
            n = torch.tanh(torch.addmm(x_n, r * h, weight_n.t()))
        return ((1 - z) * n + z * h,)


@final
class LSTM(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers 2000).

    i = σ(W_ii x + b_i + W_hi h)
    f = σ(W_if x + b_f + W_hf h)
    g = tanh(W_ig x + b_g + W_hg h)
    o = σ(W_io x + b_o + W_ho h)
    c' = f * c + i * g
    h' = o * tanh(c')

    The gates are laid out i, f, g, o. ``forget_bias`` is what b_f starts from: 0 in the book, 1
    keeps the memory open at first (Jozefowicz et al. 2015).
    """

    num_gates = 4
    state_names = ("hidden", "memory")

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 0.0) -> None:
        super().__init__(input_size, hidden_size)
        self.forget_bias = forget_bias

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        h, c = state
        i, f, g, o = torch.addmm(preactivation_BG, h, self.weight_hh.t()).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


CELLS: dict[str, type[Cell]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}

INITIALISATIONS = ("book", "uniform")


@torch.no_grad()
def initialise(cell: Cell, initialisation: str = "book") -> None:
    """Draw a cell's parameters anew.

    - ``book``: weights normal × 0.01, biases zero (d2l.ai, "RNN from scratch").
    - ``uniform``: everything uniform in ±1/√H, as ``torch.nn`` does.

    An LSTM's forget gate then gets its ``forget_bias`` on top.
    """
    bound = cell.hidden_size**-0.5
    for parameter in cell.parameters():
        if initialisation == "uniform":
            parameter.uniform_(-bound, bound)
        elif parameter.dim() == 1:
            parameter.zero_()
        else:
            parameter.normal_(0.0, 0.01)
    if isinstance(cell, LSTM):
        cell.bias[cell.hidden_size : 2 * cell.hidden_size] += cell.forget_bias
