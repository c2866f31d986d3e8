"""Dropout with one mask a window, weight-drop, fresh states: in every backend, off in evaluation."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.resuming import Run, assert_same
from helpers.running import small_data, small_module, trainer
from hypothesis import given
from hypothesis import strategies as st
from training.test_resume import SignalAt

from charlm.dropout import CharacterDropout, LockedDropout, partly_fresh
from charlm.errors import UserError
from charlm.model import CharLM
from charlm.recurrence import BACKENDS
from charlm.training.weight_drop import WithDroppedWeights, dropped

TEXT = {"max_chars": 760, "num_lanes": 4, "num_steps": 25}
MEANS = {
    "dropout": 0.3,
    "input_dropout": 0.1,
    "output_dropout": 0.4,
    "weight_drop": 0.3,
    "fresh_state": 0.2,
}
PROBABILITIES = st.floats(0.0, 0.9)


@given(PROBABILITIES, st.integers(1, 5), st.integers(1, 4), st.integers(1, 6))
def test_a_locked_mask_is_the_same_at_all_steps(p: float, T: int, B: int, D: int) -> None:
    dropout = LockedDropout("dropout", p)
    ones = torch.ones(T, B, D, dtype=torch.float64)
    dropped = dropout(ones)
    assert torch.equal(dropped, dropped[:1].expand(T, B, D))
    assert set(dropped.flatten().tolist()) <= {0.0, 1 / (1 - p)}
    assert dropout.eval()(ones) is ones


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_what_is_dropped_leaves_the_mean_as_it_was(p: float) -> None:
    torch.manual_seed(0)
    dropped = LockedDropout("dropout", p)(torch.ones(2, 100, 100))
    assert dropped.mean() == pytest.approx(1.0, abs=0.05)
    assert (dropped == 0).double().mean() == pytest.approx(p, abs=0.03)
    # Two lanes have masks of their own.
    assert not torch.equal(dropped[:, 0], dropped[:, 1])


@pytest.mark.parametrize("p", [0.0, 0.25, 0.3, 0.999_999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_weight_is_dropped_by_chance(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weights = torch.randn(301, 99, dtype=dtype, requires_grad=True)
    left = dropped(weights, p)
    gone = left == 0
    assert gone.double().mean() == pytest.approx(p, abs=0.01)
    torch.testing.assert_close(left[~gone], weights[~gone] / (1 - p))
    # Neither the rows nor the four weights of a random number go together.
    assert gone.double().mean(0).std() < 0.05
    assert gone.flatten()[:-3].unfold(0, 4, 4).all(1).double().mean() == pytest.approx(
        p**4, abs=0.01
    )
    (gradient,) = torch.autograd.grad(left.sum(), weights)
    torch.testing.assert_close(gradient, torch.where(gone, 0.0, 1 / (1 - p)).to(dtype))


def test_a_hidden_character_is_a_zero_vector_and_the_others_are_as_they_were() -> None:
    torch.manual_seed(0)
    ids_TB = torch.randint(5, (30, 40))
    dropout = CharacterDropout("input_dropout", 0.25, 5)
    vectors = dropout(ids_TB, torch.float64)
    hidden = vectors.sum(dim=2) == 0
    assert hidden.double().mean() == pytest.approx(0.25, abs=0.04)
    assert torch.equal(vectors.argmax(dim=2)[~hidden], ids_TB[~hidden])
    assert dropout.eval()(ids_TB, torch.float64) is ids_TB


@pytest.mark.parametrize("option", ["dropout", "input_dropout", "output_dropout", "weight_drop"])
def test_what_is_no_probability_is_refused(option: str) -> None:
    with pytest.raises(UserError, match=f"{option} is 1.0: it is a probability"):
        small_module(small_data(**TEXT), **{option: 1.0})


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("encoding", ["one_hot", "embedding"])
def test_every_backend_drops_the_same(cell: str, encoding: str) -> None:
    """With the same masks, the same logits and gradients of the weights themselves."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"encoding": encoding}
    if encoding == "embedding":
        options["embedding_size"] = 3
    means = {name: MEANS[name] for name in ("dropout", "input_dropout", "output_dropout")}
    model = CharLM(7, [5, 6], cell, **options, **means).double()
    ids_TB = torch.randint(7, (9, 3))
    results = {}
    for backend in ("eager", *BACKENDS):
        if backend not in ("eager", "bptt", "library"):
            continue  # it serves none of these cells
        model.backend = backend
        model.zero_grad()
        torch.manual_seed(1)
        logits_TBV, _ = WithDroppedWeights(model, 0.4)(ids_TB)
        logits_TBV.square().sum().backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        results[backend] = [logits_TBV.detach(), *gradients]
    for backend in ("bptt", "library"):
        for ours, theirs in zip(results[backend], results["eager"], strict=True):
            torch.testing.assert_close(ours, theirs)


def test_a_dropped_weight_has_no_gradient_and_the_others_are_scaled() -> None:
    torch.manual_seed(0)
    model = CharLM(7, [6], initialisation="uniform")
    with_dropped = WithDroppedWeights(model, 0.5)
    (used,) = with_dropped.weights.values()
    own = model.cells[0].weight_hh
    gone = used == 0
    assert 0.2 < gone.double().mean() < 0.8
    torch.testing.assert_close(used[~gone], own[~gone] * 2)
    with_dropped(torch.randint(7, (8, 2)))[0].square().sum().backward()
    assert own.grad is not None
    assert (own.grad[gone] == 0).all()
    assert (own.grad[~gone] != 0).all()


def test_a_fresh_lane_begins_with_zeros_and_the_others_go_on() -> None:
    torch.manual_seed(0)
    state = tuple(tuple(torch.ones(200, 3) for _ in range(2)) for _ in range(2))
    fresh = partly_fresh(state, 0.3)
    kept = fresh[0][0][:, 0]
    assert kept.mean() == pytest.approx(0.7, abs=0.1)
    for cell_state in fresh:
        for part in cell_state:
            assert torch.equal(part, kept[:, None].expand(200, 3))


@pytest.mark.usefixtures("novel")
def test_in_evaluation_nothing_is_dropped(tmp_path: Path) -> None:
    data = small_data(**TEXT | {"val_size": 60})
    measured = []
    for means in ({}, MEANS):
        module = small_module(data, hidden_sizes=[8, 8], cell="lstm", **means)
        run = trainer(tmp_path)
        measured += run.validate(module, datamodule=data, verbose=False)
    assert measured[0] == measured[1]


@pytest.mark.usefixtures("novel")
def test_windows_of_other_lengths_don_t_go_with_bptt_k1_k2(tmp_path: Path) -> None:
    data = small_data(**TEXT | {"num_steps_jitter": 3})
    with pytest.raises(UserError, match=r"num_steps_jitter and model\.backprop_steps"):
        trainer(tmp_path).fit(small_module(data, backprop_steps=40), datamodule=data)
    with pytest.raises(UserError, match=r"goes with data\.sampling sequential, not with random"):
        small_data(**TEXT | {"num_steps_jitter": 3, "sampling": "random"})


@pytest.mark.usefixtures("novel")
def test_a_run_with_all_of_it_is_resumed_exactly(tmp_path: Path) -> None:
    module = {
        "hidden_sizes": [8, 8],
        "cell": "lstm",
        "optimizer": "adamw",
        "learning_rate": 0.01,
        "initialisation": "orthogonal",
        **MEANS,
    }
    data = TEXT | {"num_steps_jitter": 9}
    case = {"data": data, "module": module, "trainer": {"max_epochs": 2}}
    alone = Run(tmp_path / "alone", **case).go()
    run = Run(tmp_path / "run", **case)
    for i, step in enumerate((2, 7)):
        run.stopped(SignalAt(step), resume=i > 0)
    assert_same(run.go(resume=True), alone)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_an_orthogonal_start_keeps_a_state_s_length(cell: str) -> None:
    torch.manual_seed(0)
    options = {"forget_bias": 1.0} if cell == "lstm" else None
    model = CharLM(7, [6], cell, options, initialisation="orthogonal").double()
    (layer,) = model.cells
    for gate in layer.weight_hh.split(6):
        torch.testing.assert_close(
            gate @ gate.T, torch.eye(6, dtype=torch.float64), atol=1e-6, rtol=0
        )
    expected = torch.zeros_like(layer.bias)
    if cell == "lstm":
        expected[6:12] = 1
    assert torch.equal(layer.bias, expected)
