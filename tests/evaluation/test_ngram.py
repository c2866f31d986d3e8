"""The n-gram model against its definition, and never ahead of the text.

V vocabulary
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.evaluation.ngram import CHUNK, DISCOUNTS, MAX_ORDER, NGram
from charlm.evaluation.scoring import summarise

V = 4
IDS = st.lists(st.integers(0, V - 1), max_size=40)


def probabilities(model: NGram, ids: list[int]) -> np.ndarray:
    """p of every symbol at each place, [N, V]."""
    parts = [log_p.exp().numpy() for _, log_p in model.predictions(np.array(ids, dtype=int))]
    return np.concatenate([np.empty((0, model.vocab_size)), *parts])


def by_definition(read: list[int]) -> np.ndarray:
    """p of the symbol after ``read``, every count taken anew from lists."""
    counts: dict[tuple[int, ...], list[int]] = {}
    for i, symbol in enumerate(read):
        for n in range(min(i, MAX_ORDER), -1, -1):
            followed = counts.setdefault(tuple(read[i - n : i]), [])
            followed.append(symbol)
            if followed.count(symbol) > 1:
                break
    p = np.full(V, 1 / V)
    for n in range(min(len(read), MAX_ORDER) + 1):
        followed = counts.get(tuple(read[len(read) - n :]))
        if followed is None:
            break
        c = np.array([followed.count(symbol) for symbol in range(V)])
        d = np.array(DISCOUNTS[n])[np.minimum(c, 3)]
        p = (c - d) / c.sum() + d.sum() / c.sum() * p
    return p


@given(training=IDS, text=IDS)
@settings(max_examples=60)
def test_each_probability_is_that_of_the_definition(training: list[int], text: list[int]) -> None:
    found = probabilities(NGram(V, np.array(training, dtype=int)), text)
    assert found.shape == (len(text), V)
    for i, p_V in enumerate(found):
        np.testing.assert_allclose(p_V, by_definition(training + text[:i]), rtol=1e-9)


def test_probabilities_are_positive_and_sum_to_one_over_a_real_text(novel: str) -> None:
    symbols = sorted(set(novel))
    ids = np.array([symbols.index(character) for character in novel[:4000]])
    model = NGram(len(symbols) + 1, ids[:3000])
    p_NV = probabilities(model, ids[3000:].tolist())
    np.testing.assert_allclose(p_NV.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert p_NV.min() > 0


@given(st.integers(0, 2 * CHUNK), st.integers(0, 99))
@settings(max_examples=20)
def test_a_later_character_changes_no_earlier_figure(place: int, seed: int) -> None:
    ids = np.random.default_rng(seed).integers(V, size=2 * CHUNK + 1)
    changed = ids.copy()
    changed[place] = (ids[place] + 1) % V
    model = NGram(V, ids[:50])
    before, after = probabilities(model, ids.tolist()), probabilities(model, changed.tolist())
    np.testing.assert_array_equal(before[: place + 1], after[: place + 1])


def test_each_text_is_read_after_the_training_text_alone() -> None:
    model = NGram(V, np.array([0, 1, 2, 0, 1, 2]))
    once = probabilities(model, [0, 1, 3, 3, 3, 0, 1, 3])
    probabilities(model, [3, 3, 3, 2, 1])
    np.testing.assert_array_equal(probabilities(model, [0, 1, 3, 3, 3, 0, 1, 3]), once)
    # Within a text it learns: 3 after 0, 1.
    assert once[7, 3] > 2 * once[2, 3]


def test_a_training_text_and_adaptation_help(novel: str) -> None:
    symbols = {character: i for i, character in enumerate(sorted(set(novel)))}
    ids = np.array([symbols[character] for character in novel[:30_000]])

    def bits(training: np.ndarray) -> float:
        text = ids[25_000:]
        model = NGram(len(symbols), training)
        return summarise("", text, model.predictions(text)).bits_per_character

    assert bits(ids[:25_000]) < bits(ids[20_000:25_000]) < bits(ids[:0]) < 4
    assert bits(ids[:25_000]) == pytest.approx(2.36, abs=0.02)
