"""The real-gated linear recurrent unit in its gated block."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.cells.cell import Cell, State

C = 8.0  # c of the paper


@final
class RGLRU(Cell):
    """Griffin's recurrent block around the RG-LRU (De et al. 2024, sections 2.3 and 2.4).

    u, v = W_ih x + b                                     two branches
    w = k_0 * u + k_1 * u_1 + k_2 * u_2 + k_3 * u_3 + b_k  a convolution over u and the three before
    r = σ(W_r w + b_r)
    i = σ(W_i w + b_i)
    a = exp(-c softplus(Λ) * r), c = 8
    h' = a * h + sqrt(1 - a²) * (i * w)
    y = W_o (gelu(v) * h') + b_o

    The state's first part is the output y, which the next step doesn't read; then h and the three
    last u. Λ starts such that exp(-c softplus(Λ)) is uniform between 0.9 and 0.999. The paper's
    W_r and W_i are block-diagonal; here they are whole.
    """

    num_gates = 2
    has_weight_hh = False
    state_names = ("output", "hidden", "before_1", "before_2", "before_3")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        H = hidden_size
        self.kernel = nn.Parameter(torch.empty(4, H))
        self.kernel_bias = nn.Parameter(torch.empty(H))
        self.weight_gates = nn.Parameter(torch.empty(2 * H, H))  # r, i
        self.bias_gates = nn.Parameter(torch.empty(2 * H))
        self.decay = nn.Parameter(torch.empty(H))  # Λ
        self.weight_out = nn.Parameter(torch.empty(H, H))
        self.bias_out = nn.Parameter(torch.empty(H))

    @torch.no_grad()
    def initialise(self, initialisation: str) -> None:
        super().initialise(initialisation)
        shares = torch.empty_like(self.decay).uniform_(0.9, 0.999)
        self.decay.copy_((shares.log() / -C).expm1().log())  # softplus(Λ) = -log(share) / c

    def convolve(self, u: Tensor, before: tuple[Tensor, ...]) -> Tensor:
        """w from u [..., H] and the three before it, the last one first."""
        w = torch.addcmul(self.kernel_bias, self.kernel[0], u)
        for k, earlier in zip(self.kernel[1:], before, strict=True):
            w = torch.addcmul(w, k, earlier)
        return w

    def coefficients(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """a and sqrt(1 - a²) * (i * w), [..., H] each."""
        r, i = torch.sigmoid(F.linear(w, self.weight_gates, self.bias_gates)).chunk(2, dim=-1)
        log_a = -C * F.softplus(self.decay) * r
        # 1 - a² = -expm1(2 log a): precise where a is almost 1; √'s slope at 0 is infinite.
        rest = (-torch.expm1(2 * log_a)).clamp(min=1e-30)
        return torch.exp(log_a), rest.sqrt() * (i * w)

    def read(self, v: Tensor, h: Tensor) -> Tensor:
        """y, [..., H]."""
        return F.linear(F.gelu(v) * h, self.weight_out, self.bias_out)

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        _, h, *before = state
        u, v = preactivation_BG.chunk(2, dim=1)
        a, b = self.coefficients(self.convolve(u, tuple(before)))
        h = a * h + b
        return self.read(v, h), h, u, *before[:2]
