"""Dynamic evaluation: by its equation, never ahead of the text, and without a trace.

M characters of a segment
"""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from charlm.errors import UserError
from charlm.evaluation.dynamic import (
    EPSILON,
    DynamicEvaluation,
    dynamic_predictions,
    gradient_rms,
)
from charlm.evaluation.scoring import predictions, summarise
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

V = 6
SETTINGS = DynamicEvaluation(segment=5, rate=0.01, decay=0.1)


def make_model(vocab_size: int = V, **options: object) -> CharLM:
    torch.manual_seed(0)
    options = {"hidden_sizes": [7], "cell": "lstm", "initialisation": "uniform"} | options
    return CharLM(vocab_size, **options).eval()  # type: ignore[arg-type]


MODEL = make_model()
TRAINING = np.random.default_rng(0).integers(V, size=400)
RMS = gradient_rms(MODEL, TRAINING, SETTINGS.segment)


def nats(
    ids: np.ndarray, model: CharLM = MODEL, settings: DynamicEvaluation = SETTINGS
) -> np.ndarray:
    rms = RMS if model is MODEL else gradient_rms(model, TRAINING, settings.segment)
    return summarise("", ids, dynamic_predictions(model, ids, settings, rms)).nats_N


def by_the_equation(ids: np.ndarray) -> list[float]:
    """The same with ``torch.optim``-like bookkeeping written out, segment by segment."""
    model = copy.deepcopy(MODEL)
    costs = [-torch.log_softmax(model.output.bias, 0)[ids[0]].item()]
    mean = torch.cat([r.flatten() for r in RMS]).mean()
    state, M = None, SETTINGS.segment
    for start in range(0, len(ids) - 1, M):
        segment = torch.from_numpy(ids[start : start + M + 1])[:, None]
        logits, state = model(segment[:-1], state)
        losses = F.cross_entropy(logits[:, 0], segment[1:, 0], reduction="none")
        costs += losses.tolist()
        model.zero_grad()
        losses.mean().backward()
        state = [tuple(part.detach() for part in layer) for layer in state]
        for p, r, trained in zip(model.parameters(), RMS, MODEL.parameters(), strict=True):
            p.data -= SETTINGS.rate * p.grad / (r + EPSILON * mean)
            p.data += torch.clamp(SETTINGS.decay * r / mean, max=1) * (trained.data - p.data)
    return costs


def test_the_weights_learn_by_the_equation() -> None:
    ids = np.random.default_rng(1).integers(V, size=53)
    np.testing.assert_allclose(nats(ids), by_the_equation(ids), rtol=1e-5)
    assert not np.allclose(nats(ids), summarise("", ids, predictions(MODEL, ids)).nats_N, rtol=1e-3)


@given(seed=st.integers(0, 99), length=st.integers(2, 60), data=st.data())
@settings(max_examples=12)
def test_a_later_character_changes_no_earlier_figure(
    seed: int, length: int, data: st.DataObject
) -> None:
    ids = np.random.default_rng(seed).integers(V, size=length)
    place = data.draw(st.integers(0, length - 1))
    changed = ids.copy()
    changed[place] = (ids[place] + 1) % V
    before, after = nats(ids), nats(changed)
    np.testing.assert_array_equal(before[:place], after[:place])
    assert before[place] != after[place]
    # The length of the text doesn't, either, up to the rounding of products of other shapes.
    np.testing.assert_allclose(nats(ids[: place + 1]), before[: place + 1], rtol=1e-5)


def test_the_probabilities_at_each_place_sum_to_one() -> None:
    ids = np.random.default_rng(2).integers(V, size=60)
    for _, log_p_MV in dynamic_predictions(MODEL, ids, SETTINGS, RMS):
        torch.testing.assert_close(log_p_MV.exp().sum(1), torch.ones(len(log_p_MV)).double())


def test_the_model_is_left_as_it_was_even_where_the_reading_is_broken_off() -> None:
    model = make_model(dropout=0.5, hidden_sizes=[5, 5]).train()
    before = copy.deepcopy(model.state_dict())
    ids = np.random.default_rng(3).integers(V, size=60)
    read = dynamic_predictions(model, ids, SETTINGS, gradient_rms(model, TRAINING, 5))
    for _ in range(4):
        next(read)
    read.close()
    assert nats(ids, model).tolist() == nats(ids, model).tolist()
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_without_rate_it_is_the_static_figure_whatever_the_segment() -> None:
    ids = np.random.default_rng(4).integers(V, size=60)
    static = summarise("", ids, predictions(MODEL, ids)).nats_N
    for segment in (1, 7, 100):
        still = DynamicEvaluation(segment, rate=0, decay=0.5)
        np.testing.assert_allclose(nats(ids, settings=still), static, rtol=1e-5)


def test_one_character_and_two() -> None:
    assert len(nats(np.array([3]))) == 1
    assert len(nats(np.array([3, 1]))) == 2


def test_a_text_that_repeats_itself_is_learnt(novel: str) -> None:
    vocabulary = Vocabulary.from_text(novel)
    model = make_model(len(vocabulary), hidden_sizes=[24])
    ids = vocabulary.encode(novel[:300] * 8)
    rms = gradient_rms(model, ids[:3000], 20)
    learning = DynamicEvaluation(20, 0.002, 0)
    costs = summarise("", ids, dynamic_predictions(model, ids, learning, rms)).nats_N
    static = summarise("", ids, predictions(model, ids)).nats_N
    assert static[-300:].mean() > 3.5
    assert costs[-300:].mean() < 3.2


def test_settings_given_come_before_those_of_the_checkpoint_and_the_defaults() -> None:
    stored = {"dynamic_evaluation": {"rate": 0.5, "segment": 9}}
    assert DynamicEvaluation.of(stored, segment=3, rate=None) == DynamicEvaluation(3, 0.5)
    assert DynamicEvaluation.of({}, decay=0.2) == DynamicEvaluation(decay=0.2)
    assert DynamicEvaluation.of({"dynamic_evaluation": None}) == DynamicEvaluation()


def test_settings_out_of_range_and_divergence_are_told() -> None:
    for wrong in ({"segment": 0}, {"rate": -1.0}, {"decay": math.nan}):
        with pytest.raises(UserError, match=f"{next(iter(wrong))} is"):
            DynamicEvaluation(**wrong)  # type: ignore[arg-type]
    ids = np.random.default_rng(5).integers(V, size=200)
    with pytest.raises(UserError, match=r"has diverged by character .* lower its rate"):
        nats(ids, settings=DynamicEvaluation(5, 1e38, 0))
