"""One optimiser of two rules: one for gate matrices, gate by gate, and AdamW for the rest.

G gates · R rows of a gate · C columns
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw


class ByGates(Optimizer, ABC):
    """AdamW for the groups without ``num_gates``; the subclass's ``direction`` for those with it.

    A fused matrix [G·R, C] is taken apart into its gates [G, R, C]: each is a linear map of its
    own, and what equalises the directions of one has nothing to do with the others.

    Args:
        params: parameter groups (``charlm.training.optimisers.groups.gate_groups``).
        lr: AdamW's learning rate, and that of a group that says nothing else.
        own: the subclass's options, by name.
        betas: AdamW's two decay rates.
        eps: AdamW's, added to the root of the second moment.
        weight_decay: decoupled: each step takes this share times the rate off a weight.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        own: dict[str, Any],
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "num_gates": 0,
        }
        super().__init__(params, defaults | own)

    @abstractmethod
    def direction(
        self, gradient_GRC: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> Tensor | None:
        """What a matrix moves against, [G, R, C], before it is multiplied by the rate.

        Args:
            gradient_GRC: its gradient, gate by gate.
            state: the matrix's own, kept in the checkpoint; empty at its first step.
            group: the options.

        Returns:
            None: the matrix stays where it is in this step.
        """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of all groups; ``closure`` computes the loss and the gradients, if given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["num_gates"]:
                self._step_matrices(group)
            else:
                self._step_others(group)
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        for matrix in group["params"]:
            if matrix.grad is None:
                continue
            gradient_GRC = matrix.grad.unflatten(0, (group["num_gates"], -1))
            direction_GRC = self.direction(gradient_GRC, self.state[matrix], group)
            if direction_GRC is None:
                continue
            if group["weight_decay"]:
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
            matrix.add_(direction_GRC.flatten(0, 1), alpha=-group["lr"])

    def _step_others(self, group: dict[str, Any]) -> None:
        parameters = [p for p in group["params"] if p.grad is not None]
        states = [self.state[p] for p in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if not state:
                state["step"] = torch.zeros(())
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        adamw(
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            foreach=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
