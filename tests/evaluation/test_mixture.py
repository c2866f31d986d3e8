"""Several models as one: sums, order, and the laws of a mixture that learns.

K models · N characters of a text · V vocabulary
"""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.evaluation.mixture import aligned, average, mix
from charlm.evaluation.ngram import NGram
from charlm.evaluation.scoring import Prediction, summarise

V = 5
SEEDS = st.integers(0, 999)


def member(log_p_NV: np.ndarray, size: int) -> Iterator[Prediction]:
    """A model's predictions in parts of ``size`` places."""
    for start in range(0, len(log_p_NV), size):
        part = log_p_NV[start : start + size]
        yield np.arange(start, start + len(part)), torch.from_numpy(part)


def drawn(seed: int, length: int, sharpness: float = 1.0) -> np.ndarray:
    logits = sharpness * np.random.default_rng(seed).normal(size=(length, V))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def whole(predicted: Iterator[Prediction]) -> np.ndarray:
    parts = list(predicted)
    assert np.concatenate([places for places, _ in parts]).tolist() == list(
        range(sum(len(places) for places, _ in parts))
    )
    return torch.cat([log_p for _, log_p in parts]).numpy()


@given(seed=SEEDS, sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_the_average_is_the_mean_of_probabilities_whatever_the_parts(
    seed: int, sizes: list[int]
) -> None:
    members = [drawn(seed + k, 33) for k in range(len(sizes))]
    found = whole(average([member(m, size) for m, size in zip(members, sizes, strict=True)]))
    np.testing.assert_allclose(np.exp(found), np.exp(members).mean(axis=0), rtol=1e-12)


@given(seed=SEEDS, size=st.integers(1, 40), sharpness=st.sampled_from([0.1, 1, 30]))
@settings(max_examples=30)
def test_mixed_probabilities_sum_to_one_and_never_look_ahead(
    seed: int, size: int, sharpness: float
) -> None:
    ids = np.random.default_rng(seed).integers(V, size=40)
    members = [drawn(seed + k, 40, sharpness) for k in range(3)]
    found = whole(mix([member(m, size + k) for k, m in enumerate(members)], ids))
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, rtol=0, atol=1e-9)
    place = seed % 40
    changed = ids.copy()
    changed[place] = (ids[place] + 1) % V
    again = whole(mix([member(m, size + k) for k, m in enumerate(members)], changed))
    np.testing.assert_array_equal(found[: place + 1], again[: place + 1])


def test_a_mixture_is_about_as_good_as_the_best_member_and_better_of_two_that_differ() -> None:
    N, random = 3000, np.random.default_rng(0)
    ids = random.integers(V, size=N)

    def good_at(where: np.ndarray) -> np.ndarray:
        """Gives the right symbol a chance of a half at some places, nothing known elsewhere."""
        p_NV = np.full((N, V), 1 / V)
        p_NV[where] = 0.5 / (V - 1)
        p_NV[where, ids[where]] = 0.5
        return np.log(p_NV)

    def nats(*members: np.ndarray) -> float:
        mixed = mix([member(m, 100) for m in members], ids)
        return summarise("", ids, mixed).nats_per_character

    early, late = good_at(np.arange(N // 2)), good_at(np.arange(N // 2, N))
    alone = [-early[np.arange(N), ids].mean(), -late[np.arange(N), ids].mean()]
    assert nats(early, late) < min(alone) - 0.3
    # A useless member, whether it says nothing or is sure of what is wrong, does no harm.
    wrong = np.log(np.full((N, V), 0.01 / (V - 1)))
    wrong[np.arange(N), random.integers(V, size=N)] = np.log(0.99)
    for useless in (drawn(7, N, 0.0), wrong):
        assert nats(early, useless) < alone[0] + 0.01


def test_of_models_of_a_real_text_the_mixture_is_no_worse_than_the_better(novel: str) -> None:
    symbols = {character: i for i, character in enumerate(sorted(set(novel)))}
    ids = np.array([symbols[character] for character in novel[:24_000]])
    training, text = ids[:20_000], ids[20_000:]
    models = [NGram(len(symbols), training), NGram(len(symbols), training[-2000:])]
    alone = [summarise("", text, m.predictions(text)).bits_per_character for m in models]
    mixed = summarise("", text, mix([m.predictions(text) for m in models], text))
    assert mixed.bits_per_character < min(alone) + 0.005


def test_members_of_other_places_are_refused() -> None:
    shifted = ((places + 1, log_p) for places, log_p in member(drawn(0, 10), 5))
    with pytest.raises(ValueError, match="other places"):
        list(aligned([member(drawn(0, 10), 5), shifted]))


def test_what_sums_to_something_else_is_no_prediction() -> None:
    ids = np.zeros(10, dtype=int)
    with pytest.raises(ValueError, match="sum to one"):
        summarise("", ids, member(drawn(0, 10) + 0.001, 5))
