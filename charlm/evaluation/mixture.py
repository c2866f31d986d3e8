"""Several models' predictions as one: the mean of their probabilities, or a mixture learnt online.

    N characters of a text · M of them · K models · V vocabulary

Both give probabilities that sum to one, and neither looks at a character before it is predicted.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from charlm.evaluation.scoring import Prediction

# How strongly the first weights are held to.
PRIOR = 30.0
# Where the sets of weights begin: how likely the last member's likeliest symbol is.
SETS = (0.1, 0.2, 0.35, 0.5, 0.7, 0.9)


def aligned(members: Sequence[Iterator[Prediction]]) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """The members' predictions of the same places, in parts as large as all of them allow.

    Args:
        members: K iterators that go through the same places in the same order.

    Yields:
        places [M], log-probabilities [K, M, V] (on the CPU).

    Raises:
        ValueError: the places differ.
    """
    parts: list[Prediction] = []
    while True:
        try:
            parts = [
                next(member) if not parts or not len(parts[k][0]) else parts[k]
                for k, member in enumerate(members)
            ]
        except StopIteration:
            return
        M = min(len(places) for places, _ in parts)
        places_M = parts[0][0][:M]
        if any((places[:M] != places_M).any() for places, _ in parts):
            raise ValueError("the members predict other places, or in another order")
        if M:
            yield places_M, torch.stack([log_p[:M].cpu() for _, log_p in parts])
        parts = [(places[M:], log_p[M:]) for places, log_p in parts]


def average(members: Sequence[Iterator[Prediction]]) -> Iterator[Prediction]:
    """The mean of the members' probabilities."""
    for places_M, log_p_KMV in aligned(members):
        yield places_M, torch.logsumexp(log_p_KMV, dim=0) - math.log(len(members))


def mix(members: Sequence[Iterator[Prediction]], ids: np.ndarray) -> Iterator[Prediction]:
    """A geometric mixture whose weights w [K] are learnt as the text is read:

    p(x) = Π_k p_k(x)^w_k / Z,  -∂ log p(x) / ∂w = E_p[log p_k] - log p_k(x)

    The loss is convex in w. After each character w takes a Newton step on it, by the sum of the
    Hessians so far, each the covariance of log p_k under p. How sure the last member is chooses
    which of several sets of weights is used and learnt.

    Args:
        members: K iterators in the text's order.
        ids: the text, [N]: each is looked at after it was predicted.
    """
    K = len(members)
    weights_SK = np.full((len(SETS) + 1, K), 1 / K)
    hessians_SKK = np.tile(PRIOR * np.eye(K), (len(SETS) + 1, 1, 1))
    for places_M, log_p_KMV in aligned(members):
        log_p_MKV = log_p_KMV.transpose(0, 1).numpy()
        set_M = np.digitize(log_p_MKV[:, -1].max(axis=1), np.log(SETS))
        mixed_MV = np.empty(log_p_KMV.shape[1:])
        for i, (place, log_p_KV) in enumerate(zip(places_M, log_p_MKV, strict=True)):
            weights_K, hessian_KK = weights_SK[set_M[i]], hessians_SKK[set_M[i]]
            logits_V = weights_K @ log_p_KV
            logits_V -= logits_V.max()
            p_V = np.exp(logits_V)
            total = p_V.sum()
            mixed_MV[i] = logits_V - math.log(total)
            p_V /= total
            mean_K = log_p_KV @ p_V
            hessian_KK += (log_p_KV * p_V) @ log_p_KV.T - np.outer(mean_K, mean_K)
            weights_K -= np.linalg.solve(hessian_KK, mean_K - log_p_KV[:, ids[place]])
        yield places_M, torch.from_numpy(mixed_MV)
