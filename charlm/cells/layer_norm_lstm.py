"""Long short-term memory with layer normalisation."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.cells.cell import Cell, State


@final
class LayerNormLSTM(Cell):
    """An LSTM whose sums are normalised (Ba et al. 2016, "Layer Normalization", equations 20 to 22).

    N(a) = (a - mean of a) / sqrt(variance of a + ε), over all of a vector, ε = 1e-5
    i, f, g, o = γ_h * N(W_hh h) + γ_x * N(W_ih x) + b, through σ, σ, tanh, σ
    c' = f * c + i * g
    h' = o * tanh(γ_c * N(c') + β_c)

    The gates are laid out i, f, g, o, and each N of the first line is over all four together. Every
    γ starts from 1.

    Args:
        input_size: I.
        hidden_size: H.
        forget_bias: what b_f starts from, on top of what ``initialise`` draws.
    """

    num_gates = 4
    state_names = ("hidden", "memory")

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 0.0) -> None:
        super().__init__(input_size, hidden_size)
        self.forget_bias = forget_bias
        self.gain_ih = nn.Parameter(torch.empty(4 * hidden_size))
        self.gain_hh = nn.Parameter(torch.empty(4 * hidden_size))
        self.gain_memory = nn.Parameter(torch.empty(hidden_size))
        self.bias_memory = nn.Parameter(torch.empty(hidden_size))

    @torch.no_grad()
    def initialise(self, initialisation: str) -> None:
        super().initialise(initialisation)
        self.bias[self.hidden_size : 2 * self.hidden_size] += self.forget_bias
        for gain in (self.gain_ih, self.gain_hh, self.gain_memory):
            gain.fill_(1.0)

    def project(self, inputs: Tensor) -> Tensor:
        """γ_x * N(W_ih x) + b, [..., 4H]; arguments as in ``Cell``."""
        if inputs.dtype == torch.long:
            return F.embedding(inputs, self._normalised(self.weight_ih.t()))
        return self._normalised(F.linear(inputs, self.weight_ih))

    def _normalised(self, product: Tensor) -> Tensor:
        return F.layer_norm(product, product.shape[-1:], self.gain_ih, self.bias)

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        h, c = state
        recurrent = F.linear(h, self.weight_hh)
        a = preactivation_BG + F.layer_norm(recurrent, recurrent.shape[-1:], self.gain_hh)
        i, f, g, o = a.chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        shown = F.layer_norm(c, c.shape[-1:], self.gain_memory, self.bias_memory)
        return torch.sigmoid(o) * torch.tanh(shown), c
