"""How well the next characters are predicted after prefixes of several lengths."""

from typing import Any

import torch
from torch.nn import functional as F

from scripts.report.measures.trained import models, texts


@torch.inference_mode()
def after_prefixes(
    runs: list[dict[str, Any]], lengths: list[int], num_next: int, every: int
) -> dict[str, Any]:
    """Mean nats of the ``num_next`` characters after a prefix, at the same places for each length.

    Returns:
        By text (``training``, ``held-out``): ``nats`` for each model and length; ``first``
        likewise for the first of those characters alone; ``places``, how many there were.
    """
    longest = max(lengths)
    result: dict[str, Any] = {}
    for name, ids in texts().items():
        starts = torch.arange(longest, len(ids) - num_next, every)
        # One lane a place; rows of the longest prefix and what follows.
        rows_TB = ids[starts + torch.arange(-longest, num_next)[:, None]]
        nats: list[list[float]] = []
        first: list[list[float]] = []
        for model, _ in models(runs):
            losses = []
            for length in lengths:
                read_TB = rows_TB[longest - length :]
                logits_TBV, _ = model(read_TB[:-1])
                losses.append(
                    F.cross_entropy(
                        logits_TBV[-num_next:].flatten(0, 1),
                        read_TB[-num_next:].flatten(),
                        reduction="none",
                    ).reshape(num_next, -1)
                )
            nats.append([float(loss.mean()) for loss in losses])
            first.append([float(loss[0].mean()) for loss in losses])
        result[name] = {"nats": nats, "first": first, "places": len(starts)}
    return result
