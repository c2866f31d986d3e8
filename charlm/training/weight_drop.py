"""Weight-drop: in each window some of the recurrent weights are zero (Merity et al. 2018)."""

from typing import Any

from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from charlm.model import CharLM, ModelState


class WithDroppedWeights:
    """A model whose recurrent matrices have been dropped out once, for one window.

    To cells and backends a dropped weight is just a weight. What is left is scaled by 1 / (1 - p),
    and gradients flow to the model's own parameters.

    Args:
        model: in training.
        p: the probability for each entry of each ``weight_hh``.
    """

    def __init__(self, model: CharLM, p: float) -> None:
        self.model = model
        self.weights = {
            f"layers.{i}.{name}": F.dropout(parameter, p)
            for i, cell in enumerate(model.cells)
            for name, parameter in cell.named_parameters()
            if name == "weight_hh"
        }

    def initial_state(self, num_lanes: int) -> ModelState:
        """See ``CharLM.initial_state``."""
        return self.model.initial_state(num_lanes)

    def __call__(self, *arguments: Any) -> tuple[Tensor, ModelState]:
        """See ``CharLM.forward``."""
        result: tuple[Tensor, ModelState] = functional_call(self.model, self.weights, arguments)
        return result
