"""The Mogrifier LSTM."""

import itertools
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.cells.cell import Cell, State
from charlm.errors import UserError


@final
class MogrifierLSTM(Cell):
    """An LSTM whose input and state gate one another first (Melis et al. 2020).

    x = 2σ(Q_1 h) * x, h = 2σ(R_2 x) * h, x = 2σ(Q_3 h) * x, ... in turn, ``rounds`` times; then
    i, f, g, o, c' and h' as in the LSTM, of these x and h (c isn't changed).

    Args:
        input_size: I; of ids, which stand for one-hot vectors, only the ones are scaled.
        hidden_size: H.
        rounds: how often; 0 is the LSTM.
        rank: of the factors that each Q [I, H] and R [H, I] is then the product of; none: whole.
        forget_bias: what b_f starts from, on top of what ``initialise`` draws.
    """

    num_gates = 4
    state_names = ("hidden", "memory")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        rounds: int = 5,
        rank: int | None = None,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if rounds < 0 or (rank is not None and rank < 1):
            raise UserError(
                f"A Mogrifier LSTM of {rounds} rounds and rank {rank} can't be built: rounds must "
                "be at least 0, rank at least 1 or null."
            )
        self.forget_bias = forget_bias
        # Q_1, R_2, Q_3, ..., each as its factors from the right, what is applied first.
        self.gates = nn.ModuleList()
        for number in range(rounds):
            out, into = (input_size, hidden_size) if number % 2 == 0 else (hidden_size, input_size)
            sizes = [into, out] if rank is None else [into, rank, out]
            self.gates.append(
                nn.ParameterList(
                    torch.empty(rows, columns) for columns, rows in itertools.pairwise(sizes)
                )
            )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rounds={len(self.gates)}"

    @torch.no_grad()
    def initialise(self, initialisation: str) -> None:
        super().initialise(initialisation)
        self.bias[self.hidden_size : 2 * self.hidden_size] += self.forget_bias

    def project(self, inputs: Tensor) -> Tensor:
        """The inputs themselves [..., I]: the step changes them before W_ih."""
        if inputs.dtype == torch.long:
            return F.one_hot(inputs, self.input_size).to(self.weight_ih.dtype)
        return inputs.clone()

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        x, (h, c) = preactivation_BG, state
        for number, factors in enumerate(self.gates):
            gate = h if number % 2 == 0 else x
            for factor in factors:  # type: ignore[attr-defined]
                gate = F.linear(gate, factor)
            gate = 2 * torch.sigmoid(gate)
            x, h = (gate * x, h) if number % 2 == 0 else (x, gate * h)
        a = torch.addmm(F.linear(x, self.weight_ih, self.bias), h, self.weight_hh.t())
        i, f, g, o = a.chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
