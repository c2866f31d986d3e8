"""The mean loss over characters, as a metric that several processes share."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torchmetrics import Metric

from charlm.recurrence.precision import widest_type


class NatsPerCharacter(Metric):
    """The mean loss over characters, from the mean losses of windows of any length.

    ``torchmetrics.MeanMetric`` would do, but its check for NaN is a wait on a GPU, and with the
    check disabled it drops the weights (torchmetrics 1.9). The sums are kept in the widest type of
    their device.
    """

    nats: Tensor
    characters: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("nats", "characters"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, loss: Tensor, characters: Tensor | int) -> None:
        """Add a window's mean ``loss`` [nats] over so many ``characters``."""
        self.nats.add_(loss.to(self.nats) * characters)
        self.characters.add_(characters)

    def add(self, nats: Tensor, characters: Tensor) -> None:
        """Add the sums of another metric of the kind: what a run had before it was stopped."""
        self.update(torch.zeros(()), 0)  # to torchmetrics, too, it is no longer empty
        self.nats += nats.to(self.nats)
        self.characters += characters.to(self.characters)

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **options: Any) -> Any:
        # What moves a module to a device is told by how it moves a number.
        dtype = widest_type(fn(torch.zeros((), dtype=torch.float32)).device)
        self.nats, self.characters = self.nats.to(dtype), self.characters.to(dtype)
        self._defaults = {
            name: cast(Tensor, value).to(dtype) for name, value in self._defaults.items()
        }
        return super()._apply(fn, *args, **options)

    def compute(self) -> Tensor:
        """Nats per character."""
        return self.nats / self.characters
