"""SOAP: Adam in the eigenbasis of the gradients' second moments (Vyas et al. 2024), gate by gate.

G gates · R rows of a gate · C columns
"""

from typing import Any

import torch
from torch import Tensor

from charlm.training.optimisers.by_gates import ByGates


class Soap(ByGates):
    """Gate matrices move by Adam in a rotated basis, the rest by AdamW.

    A gate's rows have a basis of its own, L = E[g gᵀ]; its columns share theirs with the other
    gates, R = E[Σ gᵀ g], since all read the same vector. Adam's moments are kept in the bases.

    Args:
        params: see ``ByGates``.
        lr: see ``ByGates``.
        moments: decay rates of the first and the second moment in the rotated basis.
        basis_decay: decay rate of L and R.
        statistics_every: L and R are updated every so many steps.
        basis_every: the bases are refreshed every so many steps, by one round of the power
            iteration and a QR decomposition.
        **options: see ``ByGates``.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        moments: tuple[float, float] = (0.95, 0.95),
        basis_decay: float = 0.9,
        statistics_every: int = 2,
        basis_every: int = 10,
        **options: Any,
    ) -> None:
        own = {
            "moments": tuple(moments),
            "basis_decay": basis_decay,
            "statistics_every": statistics_every,
            "basis_every": basis_every,
        }
        super().__init__(params, lr, own, **options)

    def direction(
        self, gradient_GRC: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> Tensor | None:
        if not state:
            # The first gradient sets the bases, no more.
            state["step"] = 1
            state["first"] = torch.zeros_like(gradient_GRC)
            state["second"] = torch.zeros_like(gradient_GRC)
            state["rows"], state["columns"] = _products(gradient_GRC)
            state["rows_basis"] = torch.linalg.eigh(state["rows"])[1]
            state["columns_basis"] = torch.linalg.eigh(state["columns"])[1]
            return None
        state["step"] += 1
        rows_basis, columns_basis = state["rows_basis"], state["columns_basis"]
        rotated_GRC = rows_basis.mT @ (gradient_GRC @ columns_basis)
        beta1, beta2 = group["moments"]
        first = state["first"].lerp_(rotated_GRC, 1 - beta1)
        second = state["second"].mul_(beta2).addcmul_(rotated_GRC, rotated_GRC, value=1 - beta2)
        # Adam's correction for the moments that began with zero, a step after the bases.
        num_steps = state["step"] - 1
        root = (second / (1 - beta2**num_steps)).sqrt_().add_(group["eps"])
        adam = (first / (1 - beta1**num_steps)) / root
        direction_GRC = rows_basis @ (adam @ columns_basis.mT)
        self._look_on(gradient_GRC, state, group)
        return direction_GRC

    def _look_on(self, gradient_GRC: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Let the gradient into the statistics, and refresh the bases, where it is time to."""
        step = state["step"]
        if step % group["statistics_every"] == 0:
            for old, new in zip(
                (state["rows"], state["columns"]), _products(gradient_GRC), strict=True
            ):
                old.lerp_(new, 1 - group["basis_decay"])
        # At first often, since the first bases are those of a single gradient.
        if step % group["basis_every"] and step not in (2, 4, 8):
            return
        rows = torch.linalg.qr(state["rows"] @ state["rows_basis"])[0]
        columns = torch.linalg.qr(state["columns"] @ state["columns_basis"])[0]
        # The first moment is a vector, and turns with the basis; the second is none: it stays.
        turned = (rows.mT @ state["rows_basis"]) @ state["first"]
        state["first"] = turned @ (state["columns_basis"].mT @ columns)
        state["rows_basis"], state["columns_basis"] = rows, columns


def _products(gradient_GRC: Tensor) -> tuple[Tensor, Tensor]:
    """g gᵀ of each gate [G, R, R], and the sum of gᵀ g over the gates [C, C]."""
    fused = gradient_GRC.flatten(0, 1)
    return gradient_GRC @ gradient_GRC.mT, fused.mT @ fused
