"""The minimal gated recurrent unit."""

from typing import final

import torch
from torch import Tensor

from charlm.cells.linear import LinearCell


@final
class MinGRU(LinearCell):
    """The GRU whose gate doesn't see the state (Feng et al. 2024, "Were RNNs All We Needed?").

    z = σ(W_z x + b_z)
    n = W_n x + b_n
    h' = (1 - z) * h + z * n

    The gates are laid out z, n; there is no W_hh.
    """

    num_gates = 2

    def coefficients(self, preactivation_G: Tensor) -> tuple[Tensor, Tensor]:
        x_z, n = preactivation_G.chunk(2, dim=-1)
        return torch.sigmoid(-x_z), torch.sigmoid(x_z) * n  # 1 - σ(x) = σ(-x)
