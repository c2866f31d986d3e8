"""The sLSTM."""

from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.cells.cell import Cell, State


@final
class SLSTM(Cell):
    """The LSTM with exponential gates and a normaliser (Beck et al. 2024, "xLSTM", section 2.2).

    With ĩ, f̃, g̃, õ the rows of W_ih x + b + W_hh h:

    i = exp(ĩ), f = σ(f̃) or exp(f̃), g = tanh(g̃), o = σ(õ)
    c' = f * c + i * g
    n' = f * n + i
    h' = o * c' / n'

    So that nothing overflows, c and n are kept as e^-m times what they are above, with
    m' = max(log f + m, ĩ): f and i become exp(log f + m - m') and exp(ĩ - m'), and h' is the same.

    The gates are laid out i, f, g, o. The paper's W_hh is block-diagonal, a block a head; here there
    is one head. A state of zeros is that before the first character: there m doesn't count.

    Args:
        input_size: I.
        hidden_size: H.
        exponential_forget: f = exp(f̃).
        forget_bias: what b_f starts from, on top of what ``initialise`` draws.
    """

    num_gates = 4
    state_names = ("hidden", "memory", "normaliser", "stabiliser")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        exponential_forget: bool = False,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.exponential_forget = exponential_forget
        self.forget_bias = forget_bias

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, exponential_forget={self.exponential_forget}"

    @torch.no_grad()
    def initialise(self, initialisation: str) -> None:
        super().initialise(initialisation)
        self.bias[self.hidden_size : 2 * self.hidden_size] += self.forget_bias

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        h, c, n, m = state
        log_i, f, g, o = torch.addmm(preactivation_BG, h, self.weight_hh.t()).chunk(4, dim=1)
        log_f = f if self.exponential_forget else F.logsigmoid(f)
        # n is 0 before the first character and at least 1 after it, as f or i is e^0.
        kept = log_f + m.masked_fill(n == 0, -torch.inf)
        m = torch.maximum(kept, log_i)
        f, i = torch.exp(kept - m), torch.exp(log_i - m)
        c = f * c + i * torch.tanh(g)
        n = f * n + i
        return torch.sigmoid(o) * c / n, c, n, m
