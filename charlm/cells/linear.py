"""Cells that are linear in their state, so that all time steps can be computed at once."""

from abc import abstractmethod

from torch import Tensor

from charlm.cells.cell import Cell, State


class LinearCell(Cell):
    """h' = a * h + b, with a and b from the input alone.

    A subclass says ``num_gates`` and ``coefficients``.
    """

    has_weight_hh = False

    @abstractmethod
    def coefficients(self, preactivation_G: Tensor) -> tuple[Tensor, Tensor]:
        """a and b of any number of steps and lanes.

        Args:
            preactivation_G: W_ih x + b, [..., G·H].

        Returns:
            a [..., H] and b [..., H].
        """

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        (h,) = state
        a, b = self.coefficients(preactivation_BG)
        return (a * h + b,)
