"""How long one step of gradient descent is, by where the mean over the batch is taken."""

from typing import Any

import torch
from torch.nn import functional as F

from charlm.model import CharLM
from scripts.report.measures.trained import texts

T, B = 35, 32


def step_lengths(runs: list[dict[str, Any]], learning_rate: float) -> dict[str, Any]:
    """‖Δw‖ of the first step, before any clipping, and its ratio to the first way's.

    Returns:
        By the way: ``mean, batch_size=1``, as the book does; ``mean, batch_size=32``, divided
        once more; ``sum, batch_size=1``; ``sum, batch_size=1120``, divided by the characters.
    """
    torch.manual_seed(0)
    ids = texts()["training"]
    lanes_TB = torch.stack([ids[lane * 300 : lane * 300 + T + 1] for lane in range(B)], dim=1)
    model = CharLM(int(ids.max()) + 1, hidden_sizes=[128])
    lengths: dict[str, float] = {}
    for reduction in ("mean", "sum"):
        model.zero_grad()
        logits_TBV, _ = model(lanes_TB[:-1])
        F.cross_entropy(
            logits_TBV.flatten(0, 1), lanes_TB[1:].flatten(), reduction=reduction
        ).backward()
        gradients = [w.grad.double() for w in model.parameters() if w.grad is not None]
        norm = float(torch.stack([g.norm() for g in gradients]).norm())
        for batch_size in (1, B) if reduction == "mean" else (1, T * B):
            lengths[f"{reduction}, batch_size={batch_size}"] = learning_rate * norm / batch_size
    first = lengths["mean, batch_size=1"]
    return {way: {"length": length, "ratio": length / first} for way, length in lengths.items()}
