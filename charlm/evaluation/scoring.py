"""How well a model predicts a text: nats, bits per character, perplexity, per character.

    T time steps · B lanes · N characters of a text · M of them · V vocabulary

-log p(x_1 ... x_N) = -Σ_i log p(x_i | x_1 ... x_{i-1}): each character is scored exactly once. The
first has nothing before it, and an untouched state: it is predicted by the output layer on a
hidden state of zeros, p(x_1) = softmax(bias).
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from charlm.errors import UserError
from charlm.model import CharLM
from charlm.text.vocabulary import UNKNOWN_ID, Vocabulary

PROTOCOLS = ("carried", "windows")

# T × B of one call of the model, and the most lanes: they bound the memory, not the result.
ROWS = 2048
MAX_LANES = 256


@dataclass(frozen=True, eq=False)
class Score:
    """What a text of N characters costs under a model.

    Args:
        text: the normalised text.
        nats_N: -log p of each character (float64).
        num_unknown: characters outside the vocabulary; each was scored as ``<unk>``.
        favourites_NK: ids of the K likeliest characters at each place, the likeliest first, and
        probabilities_NK: how likely they are.
    """

    text: str
    nats_N: np.ndarray
    num_unknown: int
    favourites_NK: np.ndarray
    probabilities_NK: np.ndarray

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


def piece_length(
    num_characters: int, protocol: str = "carried", lanes: int = 1, window: int | None = None
) -> int:
    """How many characters are predicted before the state starts from zero again.

    - ``carried``: all of them, in the text's order. With more lanes, the text is cut into so many
      equal pieces that are read side by side: faster, and all but the first begin with one
      character of context instead of everything before.
    - ``windows``: ``window`` of them, each window beginning with one character of context, as the
      book's English edition (``num_steps``) and nanoGPT (``block_size``) measure.

    Raises:
        UserError: an unknown protocol, a number below 1, or an option of the other protocol.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"Unknown protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}.")
    if lanes < 1 or (window is not None and window < 1):
        raise UserError(f"lanes is {lanes} and window {window}: each must be at least 1.")
    if protocol == "windows":
        if window is None or lanes != 1:
            raise UserError("The protocol windows takes --window, a number of characters, alone.")
        return window
    if window is not None:
        raise UserError("The protocol carried has no --window: add --protocol windows.")
    return max(1, -(-(num_characters - 1) // lanes))


@torch.inference_mode()
def predictions(
    model: CharLM, ids: np.ndarray, piece: int, rows: int = ROWS
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Log-probabilities of the N characters ``ids``, each place once, in parts.

    The state is zero at the places 0, ``piece``, 2 · ``piece`` ..., and carried in between.

    Yields:
        places [M] in the text, and the logarithms of the probabilities there, [M, V] (float64).
    """
    weight = model.output.weight
    zeros = weight.new_zeros(1, model.output.in_features)
    yield np.zeros(1, dtype=np.int64), torch.log_softmax(model.output(zeros).double(), dim=1)
    ids_N = torch.from_numpy(ids.astype(np.int64)).to(weight.device)
    num_targets = len(ids) - 1
    piece = min(piece, num_targets)
    if num_targets == 0:
        return
    for starts_B in torch.arange(0, num_targets, piece).split(MAX_LANES):
        state = None
        for steps in torch.arange(piece).split(max(1, rows // len(starts_B))):
            places_TB = steps[:, None] + starts_B
            # The last piece may be shorter than the others: what it reads beyond doesn't count.
            inside_TB = places_TB < num_targets
            inputs_TB = ids_N[places_TB.clamp(max=num_targets - 1).to(ids_N.device)]
            logits_TBV, state = model(inputs_TB, state)
            logits_MV = logits_TBV[inside_TB.to(ids_N.device)]
            places = (places_TB[inside_TB] + 1).numpy()
            yield places, torch.log_softmax(logits_MV.double(), dim=1)


def score(
    model: CharLM,
    vocabulary: Vocabulary,
    text: str,
    protocol: str = "carried",
    lanes: int = 1,
    window: int | None = None,
    num_favourites: int = 0,
    rows: int = ROWS,
) -> Score:
    """Score a text, normalised as the training text was.

    Args:
        text: as it was written; unknown characters count as ``<unk>``.
        protocol, lanes, window: see ``piece_length``.
        num_favourites: K.
        rows: T × B of one call of the model; doesn't change the result.

    Raises:
        UserError: nothing is left of the text once it is normalised; the model's predictions
            aren't numbers; or as ``piece_length``.
    """
    text = vocabulary.normalise(text)
    if not text:
        raise UserError(
            f"Nothing is left of the text after the normalisation {vocabulary.normalisation!r} of "
            "the model's training text: give a text with other characters in it."
        )
    ids = vocabulary.encode(text)
    N, K = len(ids), min(num_favourites, len(vocabulary))
    piece = piece_length(N, protocol, lanes, window)
    nats_N = np.empty(N)
    favourites_NK = np.empty((N, K), dtype=np.int64)
    probabilities_NK = np.empty((N, K))
    was_training = model.training
    model.eval()
    for places, log_p_MV in predictions(model, ids, piece, rows):
        targets_M = torch.from_numpy(ids[places].astype(np.int64)).to(log_p_MV.device)
        nats_N[places] = -log_p_MV.gather(1, targets_M[:, None]).squeeze(1).cpu().numpy()
        if K:
            log_p_MK, ids_MK = log_p_MV.topk(K, dim=1)
            probabilities_NK[places] = log_p_MK.exp().cpu().numpy()
            favourites_NK[places] = ids_MK.cpu().numpy()
    model.train(was_training)
    if not np.isfinite(nats_N).all():
        raise UserError(
            "The model's predictions aren't finite numbers: its training has diverged; train it "
            "anew with a smaller learning_rate or with gradient clipping."
        )
    num_unknown = int((ids == UNKNOWN_ID).sum())
    return Score(text, nats_N, num_unknown, favourites_NK, probabilities_NK)
