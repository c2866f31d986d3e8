"""What every recurrent cell is: its parameters, what it makes of its input, and one time step.

    T time steps · B lanes (batch rows) · I input size · H hidden size · G gates × H

A cell doesn't know time: the loop over steps, the stack of layers and the start of a new text
live outside it (``charlm.recurrence``, ``charlm.model``).
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.errors import UserError

# What a cell hands from one step to the next: (hidden_BH,), for the LSTM (hidden_BH, memory_BH).
State = tuple[Tensor, ...]

INITIALISATIONS = ("book", "uniform", "orthogonal")


class Cell(nn.Module, ABC):
    """One recurrent layer's parameters and its single step.

    A subclass says ``num_gates`` and ``step``, and if need be more: parameters of its own, other
    parts of the state, another use of the input. The arguments of its constructor after the two
    sizes are its options (``cell_options``).

    Args:
        input_size: I, for one-hot inputs the number of symbols.
        hidden_size: H.

    Parameters:
        weight_ih [G·H, I], weight_hh [G·H, H], bias [G·H]: named and laid out as in ``torch.nn``,
        the gates' blocks one above the other, with one bias where ``torch.nn`` keeps two that are
        only ever added. A cell that is linear in its state has no ``weight_hh``.

    Raises:
        UserError: a size below 1.
    """

    num_gates: ClassVar[int]
    has_weight_hh: ClassVar[bool] = True
    # The parts of the state, [B, H] each; the first is the step's output.
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
        if self.has_weight_hh:
            self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias = nn.Parameter(torch.empty(rows))

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"

    def initial_state(self, num_lanes: int) -> State:
        """Zeros [B, H] for every part of the state, as at the start of a text."""
        zeros_BH = self.weight_ih.new_zeros(num_lanes, self.hidden_size)
        return tuple(zeros_BH.clone() for _ in self.state_names)

    @torch.no_grad()
    def initialise(self, initialisation: str) -> None:
        """Draw the parameters anew; a cell that starts otherwise says so in its own.

        Args:
            initialisation: ``book`` (weights normal × 0.01, biases zero; d2l.ai, "RNN from
                scratch"), ``uniform`` (everything uniform in ±1/√H, as ``torch.nn`` does) or
                ``orthogonal`` (of each gate in ``weight_hh``, which keeps a state's length; the
                other matrices uniform, biases zero).
        """
        bound = self.hidden_size**-0.5
        for name, parameter in self.named_parameters():
            if initialisation == "orthogonal" and name == "weight_hh":
                for gate in parameter.split(self.hidden_size):
                    nn.init.orthogonal_(gate)
            elif initialisation == "uniform" or (
                initialisation == "orthogonal" and parameter.dim() > 1
            ):
                parameter.uniform_(-bound, bound)
            elif parameter.dim() == 1:
                parameter.zero_()
            else:
                parameter.normal_(0.0, 0.01)

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
