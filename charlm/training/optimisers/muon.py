"""Muon: momentum whose singular values are all made one (Jordan et al. 2024), gate by gate.

G gates · R rows of a gate · C columns
"""

from typing import Any

import torch
from torch import Tensor

from charlm.training.optimisers.by_gates import ByGates

# Of the quintic polynomial that is iterated (Jordan 2024): it takes singular values between 0 and 1
# to about 1 (0.7 to 1.2) in five rounds.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(ByGates):
    """Gate matrices move by their orthogonalised momentum, the rest by AdamW.

    ``torch.optim.Muon`` orthogonalises a whole parameter: of a fused matrix it would take the
    gates for one map. It computes in bfloat16, this in the weights' own type.

    Args:
        params: see ``ByGates``.
        lr: see ``ByGates``.
        momentum: decay rate of the momentum, which is Nesterov's.
        num_rounds: of Newton and Schulz's iteration.
        **options: see ``ByGates``.
    """

    def __init__(
        self, params: Any, lr: float, momentum: float = 0.95, num_rounds: int = 5, **options: Any
    ) -> None:
        own = {"momentum": momentum, "num_rounds": num_rounds}
        super().__init__(params, lr, own, **options)

    def direction(
        self, gradient_GRC: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> Tensor:
        if not state:
            state["momentum"] = torch.zeros_like(gradient_GRC)
        momentum_GRC = state["momentum"].lerp_(gradient_GRC, 1 - group["momentum"])
        ahead_GRC = torch.lerp(gradient_GRC, momentum_GRC, group["momentum"])
        return orthogonalised(ahead_GRC, group["num_rounds"])


def orthogonalised(matrices_GRC: Tensor, num_rounds: int) -> Tensor:
    """U Vᵀ, nearly, of each matrix U S Vᵀ, times √(R / C) where it has more rows than columns.

    X' = a X + (b A + c A²) X with A = X Xᵀ, ``num_rounds`` times.
    """
    a, b, c = COEFFICIENTS
    _, R, C = matrices_GRC.shape
    X = matrices_GRC if R <= C else matrices_GRC.mT
    X = X / (torch.linalg.matrix_norm(X, keepdim=True) + 1e-7)
    for _ in range(num_rounds):
        A = X @ X.mT
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X if R <= C else X.mT * (R / C) ** 0.5
