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
        By text (``training``, ``held-out``): ``nats`` for each model and length; ``places``, how
        many there were.
    """
    longest = max(lengths)
    result: dict[str, Any] = {}
    for name, ids in texts().items():
        starts = torch.arange(longest, len(ids) - num_next, every)
        # One lane a place; rows of the longest prefix and what follows.
        rows_TB = ids[starts + torch.arange(-longest, num_next)[:, None]]
        targets_NB = rows_TB[-num_next:]
        nats: list[list[float]] = []
        for model, _ in models(runs):
            nats.append([])
            for length in lengths:
                logits_TBV, _ = model(rows_TB[longest - length : -1])
                loss = F.cross_entropy(logits_TBV[-num_next:].flatten(0, 1), targets_NB.flatten())
                nats[-1].append(float(loss))
        result[name] = {"nats": nats, "places": len(starts)}
    return result
