"""How well a model predicts a text: nats, bits per character, perplexity, per character.

    N characters of a text · M of them · K likeliest symbols · V vocabulary

What is summed, and why the first character counts too: ``charlm.evaluation.protocol``.
"""

import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from charlm.data.held_out import MAX_WINDOWS, HeldOut
from charlm.errors import UserError
from charlm.evaluation.protocol import first_log_probabilities, log_probabilities
from charlm.model import CharLM
from charlm.text.vocabulary import UNKNOWN_ID, Vocabulary

PROTOCOLS = ("carried", "windows")

# T × B of one call of the model: it bounds the memory, not the result.
ROWS = 2048

# Places [M] in a text, and the logarithms of the probabilities there, [M, V] (float64).
Prediction = tuple[np.ndarray, Tensor]


@dataclass(frozen=True, eq=False)
class Score:
    """What a text of N characters costs under a model.

    Args:
        text: the normalised text.
        nats_N: -log p of each character (float64).
        num_unknown: characters outside the vocabulary; each was scored as ``<unk>``.
        top_ids_NK: ids of the K likeliest characters at each place, the likeliest first, and
        top_probabilities_NK: how likely they are.
    """

    text: str
    nats_N: np.ndarray
    num_unknown: int
    top_ids_NK: np.ndarray
    top_probabilities_NK: np.ndarray

    @property
    def nats(self) -> float:
        return float(self.nats_N.sum())

    @property
    def nats_per_character(self) -> float:
        return self.nats / len(self.nats_N)

    @property
    def bits_per_character(self) -> float:
        return self.nats_per_character / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp(nats per character); infinite where that is beyond a float."""
        nats = self.nats_per_character
        return math.exp(nats) if nats < math.log(sys.float_info.max) else math.inf


def check_protocol(protocol: str, lanes: int, window: int | None) -> None:
    """How a text is to be read.

    - ``carried``: in the text's order. With more lanes, the text is cut into so many equal pieces
      that are read side by side: faster, and all but the first begin with one character of
      context instead of everything before.
    - ``windows``: each of ``window`` characters, beginning from zero with one character of
      context, as the book's English edition (``num_steps``) and nanoGPT (``block_size``) measure.

    Raises:
        UserError: an unknown protocol, a number below 1, or an option of the other protocol.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"Unknown protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}.")
    if lanes < 1 or (window is not None and window < 1):
        raise UserError(f"lanes is {lanes} and window {window}: each must be at least 1.")
    if protocol == "windows" and (window is None or lanes != 1):
        raise UserError("The protocol windows takes --window, a number of characters, alone.")
    if protocol == "carried" and window is not None:
        raise UserError("The protocol carried has no --window: add --protocol windows.")


@torch.inference_mode()
def predictions(
    model: CharLM,
    ids: np.ndarray,
    lanes: int = 1,
    window: int | None = None,
    rows: int = ROWS,
    mark_id: int | None = None,
) -> Iterator[Prediction]:
    """Each of the N characters ``ids`` predicted once, the model's weights as they are.

    Args:
        lanes, window: see ``check_protocol``.
        rows: T × B of one call of the model; doesn't change the result.
        mark_id: what stands between documents, if the text has any.
    """
    yield np.zeros(1, dtype=np.int64), first_log_probabilities(model)[None]
    if len(ids) < 2:
        return
    device = model.output.weight.device
    side_by_side = lanes if window is None else MAX_WINDOWS
    num_steps = max(1, rows // min(side_by_side, len(ids) - 1))
    held_out = HeldOut(ids, lanes, num_steps, window, mark_id)
    state = None
    for k in range(len(held_out)):
        batch, places_TB = held_out.batch(k), held_out.places(k)
        begins_TB = None if batch.begins_TB is None else batch.begins_TB.to(device)
        before = state if batch.continues else None
        logits_TBV, state = model(batch.inputs_TB.to(device), before, begins_TB)
        is_target_TB = places_TB >= 0
        logits_MV = logits_TBV[torch.from_numpy(is_target_TB).to(device)]
        yield places_TB[is_target_TB], log_probabilities(logits_MV)


def score(
    model: CharLM,
    vocabulary: Vocabulary,
    text: str,
    protocol: str = "carried",
    lanes: int = 1,
    window: int | None = None,
    top_k: int = 0,
    rows: int = ROWS,
) -> Score:
    """Score a text, normalised as the training text was.

    Args:
        text: as it was written; unknown characters count as ``<unk>``.
        protocol, lanes, window: see ``check_protocol``.
        top_k: K.
        rows: T × B of one call of the model; doesn't change the result.

    Raises:
        UserError: as ``check_protocol``, ``encode`` and ``summarise``.
    """
    check_protocol(protocol, lanes, window)
    text, ids = encode(vocabulary, text)
    was_training = model.training
    model.eval()
    predicted = predictions(model, ids, lanes, window, rows, vocabulary.mark_id)
    try:
        return summarise(text, ids, predicted, top_k, vocabulary.mark_id)
    finally:
        model.train(was_training)


def encode(vocabulary: Vocabulary, text: str) -> tuple[str, np.ndarray]:
    """The text normalised as the training text was, its documents with their marks; its ids [N].

    Raises:
        UserError: nothing is left of it.
    """
    return encode_files(vocabulary, [[text]])


def encode_files(vocabulary: Vocabulary, texts: Iterable[Iterable[str]]) -> tuple[str, np.ndarray]:
    """The same of the texts of several files, each in pieces.

    Raises:
        UserError: as ``encode``.
    """
    text = vocabulary.prepare_files(texts)
    if not text:
        raise UserError(
            f"Nothing is left of the text after the normalisation {vocabulary.normalisation!r} of "
            "the model's training text: give a text with other characters in it."
        )
    return text, vocabulary.encode(text)


def summarise(
    text: str,
    ids: np.ndarray,
    predicted: Iterable[Prediction],
    top_k: int = 0,
    mark_id: int | None = None,
) -> Score:
    """The score of a text whose every place is predicted once, in whatever order.

    Args:
        text: normalised.
        ids: its ids, [N].
        top_k: K.
        mark_id: what stands between documents: before the first of them, it doesn't count.

    Raises:
        UserError: the predictions aren't numbers.
    """
    N, K = len(ids), top_k
    nats_N = np.full(N, math.nan)
    tops: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for places, log_p_MV in predicted:
        # Where they aren't numbers at all, that is said below.
        if (torch.logsumexp(log_p_MV, dim=1).abs() > 1e-6).any():
            raise ValueError("probabilities that don't sum to one are no prediction")
        targets_M = torch.from_numpy(ids[places].astype(np.int64)).to(log_p_MV.device)
        nats_N[places] = -log_p_MV.gather(1, targets_M[:, None]).squeeze(1).cpu().numpy()
        if K:
            log_p_MK, ids_MK = log_p_MV.topk(min(K, log_p_MV.shape[1]), dim=1)
            tops.append((places, ids_MK.cpu().numpy(), log_p_MK.exp().cpu().numpy()))
    if not np.isfinite(nats_N).all():
        raise UserError(
            "The model's predictions aren't finite numbers: its training has diverged; train it "
            "anew with a smaller learning_rate or with gradient clipping."
        )
    top_ids_NK = np.empty((N, 0), dtype=np.int64)
    top_probabilities_NK = np.empty((N, 0))
    if tops:
        order = np.argsort(np.concatenate([places for places, _, _ in tops]))
        top_ids_NK = np.concatenate([ids_MK for _, ids_MK, _ in tops])[order]
        top_probabilities_NK = np.concatenate([p_MK for _, _, p_MK in tops])[order]
    num_unknown = int((ids == UNKNOWN_ID).sum())
    if mark_id is not None and ids[0] == mark_id:
        text, nats_N = text[1:], nats_N[1:]
        top_ids_NK, top_probabilities_NK = top_ids_NK[1:], top_probabilities_NK[1:]
    return Score(text, nats_N, num_unknown, top_ids_NK, top_probabilities_NK)
