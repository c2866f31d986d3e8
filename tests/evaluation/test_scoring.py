"""What a text costs under a model: every character once, whichever way it is computed.

N characters · V vocabulary
"""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.judging import judge_of_model
from helpers.running import small_data, small_module, trainer
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.data.held_out import MAX_WINDOWS
from charlm.errors import UserError
from charlm.evaluation.scoring import Score, predictions, score
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

LETTERS = "abcde"


def make_model(vocab_size: int = 1 + len(LETTERS), **options: object) -> CharLM:
    torch.manual_seed(0)
    return CharLM(vocab_size, **{"hidden_sizes": [9], "initialisation": "uniform"} | options)  # type: ignore[arg-type]


VOCABULARY = Vocabulary(LETTERS)
MODEL = make_model()


def nats(text: str, model: CharLM = MODEL, **options: object) -> np.ndarray:
    return score(model, VOCABULARY, text, **options).nats_N  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_nats_are_those_of_the_reference(cell: str, novel: str) -> None:
    vocabulary = Vocabulary.from_text(novel[:3000], "none")
    model = make_model(len(vocabulary), hidden_sizes=[12, 7], cell=cell)
    ids = vocabulary.encode(novel[:700]).astype(int)
    judge = judge_of_model(model)
    logits_NV = judge.forward(ids[:-1, None])[0][:, 0]
    logits_NV = np.concatenate([judge.bias_V[None], logits_NV])
    log_p_NV = logits_NV - np.log(np.exp(logits_NV).sum(axis=1, keepdims=True))
    expected = -log_p_NV[np.arange(len(ids)), ids]
    scored = score(model, vocabulary, novel[:700])
    np.testing.assert_allclose(scored.nats_N, expected, rtol=0, atol=1e-5)
    assert scored.nats == pytest.approx(expected.sum(), rel=1e-6)


@given(
    num_characters=st.integers(1, 900),
    lanes=st.integers(1, 1000),
    window=st.none() | st.integers(1, 1000),
    rows=st.integers(1, 500),
)
@settings(max_examples=40)
def test_every_place_is_predicted_exactly_once(
    num_characters: int, lanes: int, window: int | None, rows: int
) -> None:
    ids = np.zeros(num_characters, dtype=np.uint8)
    lanes = lanes if window is None else 1
    places = np.concatenate([p for p, _ in predictions(MODEL, ids, lanes, window, rows)])
    assert sorted(places) == list(range(num_characters))


def test_more_pieces_than_the_model_takes_at_once_are_all_read() -> None:
    costs = nats("abcde" * MAX_WINDOWS, protocol="windows", window=1)
    pairs = [nats(pair)[1] for pair in ("ea", "ab", "bc", "cd", "de")] * MAX_WINDOWS
    np.testing.assert_allclose(costs[1:], pairs[1:], rtol=1e-5)


@given(text=st.text(LETTERS, min_size=2, max_size=60), data=st.data())
@settings(max_examples=30)
def test_a_character_s_cost_depends_on_what_stands_before_it_alone(
    text: str, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(text)))
    np.testing.assert_allclose(nats(text)[:cut], nats(text[:cut]), rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"lanes": 2}, {"protocol": "windows", "window": 2}])
def test_the_probabilities_of_all_texts_of_a_length_sum_to_one(options: dict[str, object]) -> None:
    # "?" is unknown: it stands for <unk>.
    texts = map("".join, itertools.product(LETTERS + "?", repeat=4))
    assert sum(math.exp(-nats(text, **options).sum()) for text in texts) == pytest.approx(1)


def test_the_first_character_is_predicted_by_the_bias_alone() -> None:
    expected = -torch.log_softmax(MODEL.output.bias.detach().double(), dim=0)
    assert nats("c")[0] == pytest.approx(float(expected[3]))


@pytest.fixture(scope="module")
def trained(checkpoint: Path) -> tuple[CharLM, Vocabulary]:
    from charlm.checkpoint import load

    return load(checkpoint)


def test_neither_chunks_nor_backends_change_the_result(
    trained: tuple[CharLM, Vocabulary], novel: str
) -> None:
    model, vocabulary = trained
    text = novel[20_000:26_000]
    whole = score(model, vocabulary, text).bits_per_character
    for rows in (1, 7, 100, 10_000):
        assert score(model, vocabulary, text[:1500], rows=rows).bits_per_character == (
            pytest.approx(score(model, vocabulary, text[:1500]).bits_per_character, abs=1e-6)
        )
    for backend in ("eager", "bptt"):
        model.backend = backend
        assert score(model, vocabulary, text).bits_per_character == pytest.approx(whole, abs=1e-6)
    model.backend = "auto"


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_other_cells_cost_the_same_under_every_backend(cell: str, novel: str) -> None:
    vocabulary = Vocabulary.from_text(novel, "none")
    model = make_model(len(vocabulary), cell=cell, hidden_sizes=[32])
    bits = []
    for backend in ("eager", "bptt", "auto"):
        model.backend = backend
        bits.append(score(model, vocabulary, novel[:2000]).bits_per_character)
    assert bits == pytest.approx([bits[0]] * 3, abs=1e-6)


@given(text=st.text(LETTERS, min_size=1, max_size=80), piece=st.integers(1, 90))
@settings(max_examples=30)
def test_windows_start_from_zero_with_one_character_of_context(text: str, piece: int) -> None:
    expected = [nats(text[0])]
    for start in range(0, len(text) - 1, piece):
        expected.append(nats(text[start : start + piece + 1])[1:])
    windows = nats(text, protocol="windows", window=piece)
    np.testing.assert_allclose(windows, np.concatenate(expected), rtol=1e-5)


@given(text=st.text(LETTERS, min_size=1, max_size=80), lanes=st.integers(1, 90))
@settings(max_examples=30)
def test_lanes_are_equal_pieces_with_one_character_of_context(text: str, lanes: int) -> None:
    num_targets = len(text) - 1
    lanes = min(lanes, num_targets)
    bounds = [num_targets * lane // lanes for lane in range(lanes + 1)] if lanes else []
    expected = [nats(text[0])]
    for start, stop in itertools.pairwise(bounds):
        expected.append(nats(text[start : stop + 1])[1:])
    np.testing.assert_allclose(nats(text, lanes=lanes or 3), np.concatenate(expected), rtol=1e-5)


def test_carrying_the_state_beats_forgetting_it(
    trained: tuple[CharLM, Vocabulary], novel: str
) -> None:
    carried = score(*trained, novel[20_000:40_000]).bits_per_character
    short = score(*trained, novel[20_000:40_000], "windows", window=3).bits_per_character
    lanes = score(*trained, novel[20_000:40_000], lanes=8).bits_per_character
    assert carried < short
    assert lanes == pytest.approx(carried, abs=0.01)
    assert lanes != carried


@pytest.mark.usefixtures("novel")
@pytest.mark.parametrize("lanes", [1, 5])
def test_validation_and_test_say_the_same_to_the_last_character(lanes: int, tmp_path: Path) -> None:
    data = small_data(val_size=0.2, test_size=0.1, normalisation="book", val_num_lanes=lanes)
    module = small_module(data)
    run = trainer(tmp_path)
    vocabulary = Vocabulary.from_config(data.vocabulary)
    for stage, measure in (("val", run.validate), ("test", run.test)):
        [metrics] = measure(module, data, verbose=False)
        bounds: range = getattr(data.split, stage)
        text = vocabulary.decode(data.text.ids[bounds.start : bounds.stop])
        scored = score(module.model, vocabulary, text, lanes=lanes)
        assert metrics[f"{stage}/loss"] == pytest.approx(scored.nats_per_character, rel=1e-6)


def test_the_top_k_are_the_likeliest_characters() -> None:
    scored = score(MODEL, VOCABULARY, "abcdeabcde", top_k=3)
    assert scored.top_ids_NK.shape == scored.top_probabilities_NK.shape == (10, 3)
    assert (np.diff(scored.top_probabilities_NK, axis=1) <= 0).all()
    chances = [math.exp(-nats("ab" + character)[2]) for character in "?" + LETTERS]
    assert scored.top_ids_NK[2].tolist() == np.argsort(chances)[::-1][:3].tolist()
    assert scored.top_probabilities_NK[2] == pytest.approx(sorted(chances, reverse=True)[:3])
    assert score(MODEL, VOCABULARY, "a", top_k=99).top_ids_NK.shape == (1, 6)


def test_a_text_is_normalised_as_the_training_text_was_and_the_unknown_counted() -> None:
    vocabulary = Vocabulary(" abcd", "letters")
    scored = score(make_model(6), vocabulary, "A cab,\n--A DEN!")
    assert scored.text == "a cab a den "
    assert scored.num_unknown == 2
    assert scored.nats_per_character == pytest.approx(scored.nats / 12)
    assert scored.bits_per_character == pytest.approx(scored.nats_per_character / math.log(2))
    assert scored.perplexity == pytest.approx(2**scored.bits_per_character)


def test_a_perplexity_beyond_a_float_is_infinite() -> None:
    empty = np.empty((1, 0))
    assert Score("a", np.array([800.0]), 0, empty, empty).perplexity == math.inf


def test_a_model_in_training_stays_so_and_its_dropout_is_out() -> None:
    model = make_model(hidden_sizes=[8, 8], dropout=0.5).train()
    assert nats("abcabc", model).tolist() == nats("abcabc", model).tolist()
    assert model.training


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"protocol": "overlapping"}, "Unknown protocol 'overlapping'"),
        ({"protocol": "windows"}, "takes --window"),
        ({"protocol": "windows", "window": 3, "lanes": 2}, "takes --window"),
        ({"window": 3}, "add --protocol windows"),
        ({"lanes": 0}, "at least 1"),
        ({"protocol": "windows", "window": 0}, "at least 1"),
    ],
)
def test_contradicting_options_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        nats("abc", **options)


def test_nothing_to_score_and_a_diverged_model_are_told() -> None:
    with pytest.raises(UserError, match="Nothing is left"):
        score(MODEL, Vocabulary(LETTERS, "book"), "1, 2, 3")
    model = make_model()
    torch.nn.init.constant_(model.output.weight, math.nan)
    with pytest.raises(UserError, match="diverged"):
        nats("abc", model)
