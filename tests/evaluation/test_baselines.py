"""The Markov models against counting by hand, the compressors against what they can undo.

V vocabulary
"""

import bz2
import gzip
import importlib.util
import itertools
import lzma
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.evaluation.baselines import SMOOTHINGS, Baselines, compressors, markov
from charlm.text.vocabulary import Vocabulary

IDS = st.lists(st.integers(0, 3), min_size=1, max_size=60)


def counted(training: list[int], order: int) -> tuple[Counter[tuple[int, ...]], ...]:
    """How often each gram of n + 1, and each context of n with something behind it, occurs."""
    places = range(order, len(training))
    grams = Counter(tuple(training[i - order : i + 1]) for i in places)
    return grams, Counter(tuple(training[i - order : i]) for i in places)


def chance(training: list[int], context: list[int], next_id: int, V: int) -> float:
    """p(next | context) by the definition, k found by leaving out each place in turn."""
    grams, contexts = counted(training, len(context))

    def left_out(k: float) -> float:
        nats = -sum(
            count * math.log((count - 1 + k) / (contexts[gram[:-1]] - 1 + k * V))
            for gram, count in grams.items()
        )
        return round(nats, 6)

    k = min(SMOOTHINGS, key=left_out)
    return (grams[(*context, next_id)] + k) / (contexts[tuple(context)] + k * V)


@given(training=IDS, text=IDS, max_order=st.integers(0, 4))
@settings(max_examples=60)
def test_markov_models_are_what_counting_says(
    training: list[int], text: list[int], max_order: int
) -> None:
    costs = markov(np.array(training), np.array(text), 4, max_order)
    assert len(costs) == max_order + 1
    for order, cost in enumerate(costs):
        chances = [
            chance(training, text[max(0, i - order) : i], text[i], 4) for i in range(len(text))
        ]
        assert cost == pytest.approx(-sum(map(math.log2, chances)) / len(text))


@given(training=IDS, order=st.integers(0, 3))
@settings(max_examples=15)
def test_the_chances_of_all_texts_of_a_length_sum_to_one(training: list[int], order: int) -> None:
    texts = itertools.product(range(4), repeat=3)
    costs = [markov(np.array(training), np.array(text), 4, order)[order] for text in texts]
    assert sum(2 ** (-3 * cost) for cost in costs) == pytest.approx(1)


def test_a_text_of_one_period_costs_nothing_but_its_beginning() -> None:
    training = np.array([0, 1, 2, 0, 2, 1] * 500, dtype=np.uint8)
    costs = markov(training, training, 3, 2)
    assert costs[0] == pytest.approx(math.log2(3), abs=1e-3)
    assert costs[1] == pytest.approx(1, abs=0.05)  # after each, one of two
    assert costs[2] < 0.01


@pytest.mark.skipif(
    importlib.util.find_spec("pyppmd") is None, reason="pyppmd is an extra: charlm[score]"
)
def test_what_is_measured_can_be_undone() -> None:
    import pyppmd

    undo = {
        "gzip": gzip.decompress,
        "bzip2": bz2.decompress,
        "xz": lzma.decompress,
        "PPMd": lambda content: pyppmd.decompress(content, max_order=6, mem_size=2**26),
    }
    content = "naïve café, 你好\n".encode() * 50
    assert compressors().keys() == undo.keys()
    for name, compress in compressors().items():
        assert undo[name](compress(content)) == content


def test_costs_are_bits_per_character_not_per_byte(novel: str) -> None:
    text = novel[:2000].replace("e", "é")
    vocabulary = Vocabulary.from_text(text)
    costs = Baselines(vocabulary, None).costs(text)
    length = len(gzip.compress(text.encode(), 9))
    assert costs["gzip"].alone == 8 * length / 2000
    # Without a training text there is nothing after it, and no Markov model.
    assert all(cost.after is None for cost in costs.values())
    assert not any(name.startswith("Markov") for name in costs)


def test_the_training_text_helps_and_the_order_of_the_baselines_is_known(novel: str) -> None:
    vocabulary = Vocabulary.from_text(novel)
    ids = vocabulary.encode(novel)
    cut = len(novel) - 10_000
    costs = Baselines(vocabulary, ids[:cut]).costs(novel[cut:])
    for name in ("bzip2", "xz", "PPMd"):
        assert costs[name].after < costs[name].alone  # type: ignore[operator]
    after = {name: cost.after for name, cost in costs.items()}
    # Shannon's order: letters, pairs, triples; PPM mixes all of them and is the best.
    assert after["Markov, order 0"] > after["Markov, order 1"] > after["Markov, order 2"]  # type: ignore[operator]
    # The blended orders are as good as PPM, which blends by escaping.
    best = sorted(after, key=lambda name: after[name] or math.inf)
    assert set(best[:2]) == {"PPMd", "n-grams, adaptive"}
    assert after["n-grams, adaptive"] < costs["n-grams, adaptive"].alone  # type: ignore[operator]
    assert 4.2 < after["Markov, order 0"] < 4.7  # type: ignore[operator]
    assert 2.0 < after["PPMd"] < 2.4  # type: ignore[operator]


def test_a_text_that_was_trained_on_costs_a_compressor_next_to_nothing(novel: str) -> None:
    vocabulary = Vocabulary.from_text(novel)
    cost = Baselines(vocabulary, vocabulary.encode(novel[:20_000])).costs(novel[:20_000])["xz"]
    assert cost.after is not None
    assert cost.after < 0.1


def test_without_pyppmd_there_is_no_ppmd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert list(compressors()) == ["gzip", "bzip2", "xz"]


def test_an_empty_text_has_no_cost() -> None:
    with pytest.raises(ValueError, match="empty text"):
        Baselines(Vocabulary("ab"), None).costs("")
