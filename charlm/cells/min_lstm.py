"""Minimal long short-term memory."""

from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.cells.linear import LinearCell


@final
class MinLSTM(LinearCell):
    """The LSTM whose gates don't see the state (Feng et al. 2024, "Were RNNs All We Needed?").

    f = σ(W_f x + b_f)
    i = σ(W_i x + b_i)
    n = W_n x + b_n
    f' = f / (f + i), i' = i / (f + i)
    h' = f' * h + i' * n

    The gates are laid out f, i, n; there is no W_hh.

    Args:
        input_size: I.
        hidden_size: H.
        forget_bias: what b_f starts from, on top of what ``initialise`` draws.
    """

    num_gates = 3

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 0.0) -> None:
        super().__init__(input_size, hidden_size)
        self.forget_bias = forget_bias

    @torch.no_grad()
    def initialise(self, initialisation: str) -> None:
        super().initialise(initialisation)
        self.bias[: self.hidden_size] += self.forget_bias

    def coefficients(self, preactivation_G: Tensor) -> tuple[Tensor, Tensor]:
        x_f, x_i, n = preactivation_G.chunk(3, dim=-1)
        # f / (f + i) = σ(log f - log i): where both gates are shut, too, it isn't 0 / 0.
        difference = F.logsigmoid(x_f) - F.logsigmoid(x_i)
        return torch.sigmoid(difference), torch.sigmoid(-difference) * n
