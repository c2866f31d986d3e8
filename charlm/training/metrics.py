"""The mean loss over characters, as a metric that several processes share."""

import torch
from torch import Tensor
from torchmetrics import Metric


class NatsPerCharacter(Metric):
    """The mean loss over characters, from the mean losses of windows of any length.

    ``torchmetrics.MeanMetric`` would do, but its check for NaN is a wait on a GPU, and with the
    check disabled it drops the weights (torchmetrics 1.9).
    """

    nats: Tensor
    characters: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("nats", "characters"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, loss: Tensor, characters: Tensor | int) -> None:
        """Add a window's mean ``loss`` [nats] over so many ``characters``."""
        self.nats.add_(loss.double() * characters)
        self.characters.add_(characters)

    def add(self, nats: Tensor, characters: Tensor) -> None:
        """Add the sums of another metric of the kind: what a run had before it was stopped."""
        self.update(torch.zeros(()), 0)  # to torchmetrics, too, it is no longer empty
        self.nats += nats.to(self.nats.device)
        self.characters += characters.to(self.characters.device)

    def compute(self) -> Tensor:
        """Nats per character."""
        return self.nats / self.characters
