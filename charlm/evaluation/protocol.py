"""What is summed of held-out text, by ``validate``, ``test`` and ``score`` alike.

    T time steps · B lanes · N characters of a text · V vocabulary

-log p(x_1 ... x_N) = -Σ_i log p(x_i | x_1 ... x_{i-1}), in float64 over all N characters, each of
them once. The first has nothing before it: it is predicted by the output layer on a hidden state
of zeros, p(x_1) = softmax(bias). How the others are read, ``charlm.data.held_out`` says. Of
documents, the first mark is no character of theirs and isn't counted; the mark after each is.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.data.batch import IGNORED, Batch
from charlm.model import CharLM, ModelState
from charlm.recurrence.precision import in_float64


def log_probabilities(logits: Tensor) -> Tensor:
    """log p [..., V], in float64; on the CPU where the logits' device has no such numbers."""
    return torch.log_softmax(in_float64(logits), dim=-1)


def first_log_probabilities(model: CharLM) -> Tensor:
    """log p [V] of a text's first character: before any character, from the zero state."""
    zeros = model.output.weight.new_zeros(1, model.output.in_features)
    return log_probabilities(model.output(zeros))[0]


def summed_nats(
    model: CharLM, batch: Batch, state: ModelState | None, begins_text: bool
) -> tuple[Tensor, Tensor, ModelState]:
    """What a held-out batch adds to the sum.

    Args:
        state: after the batch before; none: zeros.
        begins_text: the batch is the text's first, whose lane 0 begins with the text's first
            character, and that character is counted too.

    Returns:
        The summed nats and the number of characters, and the state after the batch.
    """
    logits_TBV, state = model(batch.inputs_TB, state, batch.begins_TB)
    log_p_MV = log_probabilities(logits_TBV.flatten(0, 1))
    targets = batch.targets_TB.flatten().to(log_p_MV.device)
    nats = F.nll_loss(log_p_MV, targets, ignore_index=IGNORED, reduction="sum")
    num_characters = (targets != IGNORED).sum()
    if begins_text:
        nats = nats - first_log_probabilities(model)[batch.inputs_TB[0, 0]]
        num_characters = num_characters + 1
    return nats, num_characters, state
