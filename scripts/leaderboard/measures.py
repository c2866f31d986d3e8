"""Held-out nats per character of the contenders, each protocol as ``charlm score`` has it.

    N characters of the text · T time steps · B lanes

Carried: every character once, with all that stands before it. A transformer can't carry: it reads
sliding windows of its context, and each character counts where at least half a context stands
before it. Windows: from the zero state, each with one character of context; at most as long as a
transformer's context.
"""

import math

import numpy as np
import torch
from torch.nn import functional as F

from charlm.data.batch import IGNORED
from charlm.data.held_out import MAX_WINDOWS, HeldOut
from scripts.leaderboard.recurrent import State, TorchLSTM
from scripts.leaderboard.transformer import Transformer

WINDOW = 256
# T × B of one call of a model.
ROWS = 8192


@torch.inference_mode()
def carried(model: Transformer | TorchLSTM, ids: np.ndarray) -> float:
    """Nats per character over the N characters."""
    model.eval()
    try:
        if isinstance(model, TorchLSTM):
            return _read(model, ids, HeldOut(ids, 1, ROWS // 4))
        return _sliding(model, ids)
    finally:
        model.train()


@torch.inference_mode()
def windows(model: Transformer | TorchLSTM, ids: np.ndarray) -> float:
    """Nats per character over the N characters, in windows."""
    model.eval()
    try:
        window = window_of(model)
        held_out = HeldOut(ids, 1, max(1, ROWS // MAX_WINDOWS), window)
        if isinstance(model, TorchLSTM):
            return _read(model, ids, held_out)
        nats = math.log(model.embedding.num_embeddings)
        held_out = HeldOut(ids, 1, window, window)
        for k in range(len(held_out)):
            batch = held_out.batch(k)
            size = max(1, ROWS // window)
            parts = zip(
                batch.inputs_TB.split(size, 1), batch.targets_TB.split(size, 1), strict=True
            )
            nats += sum(_sum(model(inputs.t()), targets.t()) for inputs, targets in parts)
        return nats / len(ids)
    finally:
        model.train()


def window_of(model: Transformer | TorchLSTM) -> int:
    """How long the model's windows are."""
    return min(WINDOW, model.context) if isinstance(model, Transformer) else WINDOW


def _read(model: TorchLSTM, ids: np.ndarray, held_out: HeldOut) -> float:
    # The first character is predicted by the output layer on a hidden state of zeros.
    nats = -float(torch.log_softmax(model.output.bias.double(), 0)[int(ids[0])])
    state: State | None = None
    for k in range(len(held_out)):
        batch = held_out.batch(k)
        logits_TBV, state = model(batch.inputs_TB, state if batch.continues else None)
        nats += _sum(logits_TBV, batch.targets_TB)
    return nats / len(ids)


def _sliding(model: Transformer, ids: np.ndarray) -> float:
    ids_N = torch.from_numpy(ids.astype(np.int64))
    num_targets = len(ids) - 1
    T = min(model.context, num_targets)
    # The windows end half a context further each, and count the targets that are new.
    ends = torch.tensor([*range(T, num_targets, max(1, T // 2)), num_targets])
    num_new = ends.diff(prepend=torch.zeros(1, dtype=torch.long))
    # Of the first character a transformer knows nothing.
    nats = math.log(model.embedding.num_embeddings)
    size = max(1, ROWS // T)
    for ends_B, num_new_B in zip(ends.split(size), num_new.split(size), strict=True):
        windows_BT = ids_N[(ends_B - T)[:, None] + torch.arange(T + 1)]
        targets_BT = windows_BT[:, 1:].clone()
        targets_BT[torch.arange(T) < T - num_new_B[:, None]] = IGNORED
        nats += _sum(model(windows_BT[:, :-1]), targets_BT)
    return nats / len(ids)


def _sum(logits: torch.Tensor, targets: torch.Tensor) -> float:
    flat = logits.flatten(0, 1)
    return F.cross_entropy(flat, targets.flatten(), ignore_index=IGNORED, reduction="sum").item()
