"""What is recorded of a model, and how units are found: held against the model itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.errors import UserError
from charlm.evaluation.gradient_flow import gradient_flow
from charlm.inspection.features import FEATURES, correlations, features_of, rank
from charlm.inspection.reach import reach
from charlm.inspection.recording import record
from charlm.model import CharLM


def drawn(cell: str, **options: object) -> CharLM:
    torch.manual_seed(1)
    return CharLM(7, [5, 4], cell=cell, initialisation="uniform", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("encoding", ["one_hot", "embedding"])
def test_the_recorded_states_are_those_of_the_model(cell: str, encoding: str) -> None:
    size = {"embedding_size": 3} if encoding == "embedding" else {}
    model = drawn(cell, encoding=encoding, **size)
    ids = np.array([1, 4, 2, 6, 3, 3])
    recording = record(model, ids)
    for n in range(len(ids)):
        _, state = model(torch.from_numpy(ids[: n + 1, None]))
        for number, (layer, layer_state) in enumerate(zip(model.cells, state, strict=True), 1):
            for name, part in zip(layer.state_names, layer_state, strict=True):
                recorded_H = recording.parts[f"layer{number}.{name}"][n]
                np.testing.assert_allclose(recorded_H, part[0].detach(), atol=1e-6)
        before = recording.state_before(np.array([n]))
        _, again = model(torch.from_numpy(ids[n : n + 1, None]), before)
        torch.testing.assert_close(again, state)


def test_the_gates_are_those_that_make_the_states() -> None:
    """c' = f c + i g and h' = o tanh(c'); of the GRU, h' lies between n and h, by z."""
    ids = np.array([1, 4, 2, 6, 3, 3])
    parts = record(drawn("lstm"), ids).parts
    for layer in ("layer1", "layer2"):
        c, f, i = (parts[f"{layer}.{n}"] for n in ("memory", "forget_gate", "input_gate"))
        before = np.concatenate([np.zeros_like(c[:1]), c[:-1]])
        assert (np.abs(c - f * before) <= i + 1e-6).all(), "|g| is at most 1"
        hidden = parts[f"{layer}.output_gate"] * np.tanh(c)
        np.testing.assert_allclose(parts[f"{layer}.hidden"], hidden, atol=1e-6)
    gru = record(drawn("gru"), ids).parts
    h, z = gru["layer1.hidden"], gru["layer1.update_gate"]
    before = np.concatenate([np.zeros_like(h[:1]), h[:-1]])
    assert (np.abs(h - z * before) <= 1 - z + 1e-6).all(), "|n| is at most 1"


def test_a_unit_that_follows_a_feature_is_found_and_luck_is_told() -> None:
    text = 'He said "yes, of course" and (then) went on.\nShe "did not know" it.\n' * 40
    quotes = features_of(text)["inside quotes"]
    rng = np.random.default_rng(0)
    units = rng.normal(size=(len(text), 30))
    units[:, 17] = -2.0 * quotes + rng.normal(scale=0.5, size=len(text))
    ranking = rank({"layer1.hidden": units}, quotes)
    best = ranking.matches[0]
    assert (best.part, best.unit) == ("layer1.hidden", 17)
    assert best.chosen < -0.8
    assert best.held_out == pytest.approx(best.chosen, abs=0.1)
    assert abs(ranking.matches[1].held_out) < 0.15
    assert 0 < ranking.luck < abs(best.chosen)


@pytest.mark.parametrize(
    ("feature", "text", "expected"),
    [
        ("inside quotes", 'a "b" c', [0, 0, 1, 1, 0, 0, 0]),
        ("inside quotes", "a “b” c", [0, 0, 1, 1, 0, 0, 0]),
        ("inside brackets", "a (b [c]) d)", [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]),
        ("along the line", "ab\ncd", [1, 2, 0, 1, 2]),
        ("along the word", "ab cd", [1, 2, 0, 1, 2]),
        ("on capital letters", "aBΓ", [0, 1, 1]),
    ],
)
def test_features_of_a_text(feature: str, text: str, expected: list[float]) -> None:
    assert FEATURES[feature](text).tolist() == expected


@given(st.text(max_size=60))
@settings(max_examples=50)
def test_a_feature_looks_at_nothing_that_comes_later(text: str) -> None:
    for compute in FEATURES.values():
        values = compute(text + "x")
        np.testing.assert_array_equal(values[: len(text)], compute(text))


@given(st.integers(0, 99))
@settings(max_examples=20)
def test_correlations_are_pearson_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    units, values = rng.normal(size=(20, 3)), rng.normal(size=20)
    expected = [np.corrcoef(units[:, h], values)[0, 1] for h in range(3)]
    np.testing.assert_allclose(correlations(units, values), expected, atol=1e-9)
    assert correlations(np.ones((20, 1)), values).tolist() == [0.0]


def test_reach_is_the_gradient_flow_of_each_place() -> None:
    model = drawn("lstm")
    ids = np.random.default_rng(0).integers(1, 7, 40)
    recording = record(model, ids)
    shares = reach(model, ids, recording, num_places=30, num_steps=6)
    assert shares.shape == (30, 6)
    assert not shares[0].any(), "nothing stands before the first character"
    for place in (1, 3, 6, 20):
        T = min(place, 6)
        window = torch.from_numpy(ids[place - T : place, None])
        state = recording.state_before(np.array([place - T]))
        norms = gradient_flow(model, window, torch.from_numpy(ids[place : place + 1]), state)
        expected = norms["layer2.hidden"][:, 0]
        np.testing.assert_allclose(shares[place, :T], expected / expected.max(), atol=1e-5)
        assert not shares[place, T:].any()


def test_reach_goes_by_the_output_whatever_it_is_called_and_no_further_than_the_text() -> None:
    model, ids = drawn("rnn"), np.array([4, 2, 1, 6, 3])
    recording = record(model, ids)
    expected = reach(model, ids, recording, num_places=5, num_steps=5)
    np.testing.assert_array_equal(reach(model, ids, recording, 5, 10**12), expected)
    model.cells[-1].state_names = ("output",)
    np.testing.assert_array_equal(reach(model, ids, recording, 5, 5), expected)


def test_an_empty_text_is_refused_before_it_is_read() -> None:
    from charlm.evaluation.scoring import score
    from charlm.text.vocabulary import Vocabulary

    with pytest.raises(UserError, match="Nothing is left"):
        score(drawn("rnn"), Vocabulary("abcdef"), "")


def test_documents_are_recorded_each_from_its_mark() -> None:
    model, mark_id = drawn("lstm"), 1
    ids = np.array([4, 2, 1, 6, 3, 1, 5])
    recording = record(model, ids, mark_id)
    read = torch.tensor([1, *ids])[:, None]
    outputs, _ = model(read, begins_TB=read == mark_id)
    for n in range(len(ids)):
        before = recording.state_before(np.array([n]))
        step = torch.from_numpy(ids[n : n + 1, None])
        after, _ = model(step, before, step == mark_id)
        torch.testing.assert_close(after[0], outputs[n + 1])
    alone = record(model, ids[3:5], mark_id)
    np.testing.assert_allclose(
        recording.parts["layer2.memory"][3:5], alone.parts["layer2.memory"], atol=1e-6
    )
    shares = reach(model, ids, recording, num_places=7, num_steps=6, mark_id=mark_id)
    assert shares[4, :2].all()
    assert not shares[4, 2:].any(), "nothing reaches beyond the mark"
