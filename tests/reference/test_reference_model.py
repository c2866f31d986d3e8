"""The reference's language model and its training by truncated BPTT, against autograd.

T time steps · B lanes · H hidden size · V vocabulary
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers.judging import assert_close, draw_cell, judge_of_model, judge_of_torch
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.model import CharLM
from charlm.reference import LanguageModel, truncated_updates


def draw_ids(T: int, B: int, V: int) -> Tensor:
    return torch.randint(V, (T, B))


def test_a_stack_of_different_cells_has_the_loss_and_gradients_of_autograd() -> None:
    """RNN, GRU and LSTM of unequal sizes, from a state that isn't zero."""
    T, B, V = 5, 3, 7
    torch.manual_seed(0)
    double: dict[str, Any] = {"dtype": torch.float64}
    layers = [nn.RNN(V, 6, nonlinearity="relu", **double), nn.GRU(6, 3, **double)]
    layers.append(nn.LSTM(3, 4, **double))
    linear = nn.Linear(4, V, **double)
    ids_TB, targets_TB = draw_ids(T, B, V), draw_ids(T, B, V)
    states = [
        [torch.randn(1, B, layer.hidden_size, requires_grad=True, **double) for _ in range(parts)]
        for layer, parts in zip(layers, (1, 1, 2), strict=True)
    ]
    x_TBI = F.one_hot(ids_TB, V).double()
    for layer, state in zip(layers, states, strict=True):
        x_TBI, _ = layer(x_TBI, tuple(state) if len(state) > 1 else state[0])
    logits_TBV = linear(x_TBI)
    loss = F.cross_entropy(logits_TBV.flatten(0, 1), targets_TB.flatten())
    loss.backward()

    judge = LanguageModel(
        [judge_of_torch(layer) for layer in layers],
        linear.weight.detach().numpy(),
        linear.bias.detach().numpy(),
    )
    initial = tuple(tuple(part.detach()[0].numpy() for part in state) for state in states)
    evaluation = judge.evaluate(ids_TB, targets_TB, initial)

    assert_close(evaluation.loss, loss)
    assert_close(evaluation.logits_TBV, logits_TBV)
    assert evaluation.d_parameters.keys() == judge.parameters.keys()
    for number, layer in enumerate(layers):
        ours = evaluation.d_parameters
        assert_close(ours[f"layers.{number}.weight_ih"], layer.weight_ih_l0.grad)
        assert_close(ours[f"layers.{number}.weight_hh"], layer.weight_hh_l0.grad)
        assert_close(ours[f"layers.{number}.bias"], layer.bias_ih_l0.grad)
    assert_close(evaluation.d_parameters["layers.1.bias_hn"], layers[1].bias_hh_l0.grad[6:])
    assert_close(evaluation.d_parameters["output.weight"], linear.weight.grad)
    assert_close(evaluation.d_parameters["output.bias"], linear.bias.grad)
    for ours_of_layer, state in zip(evaluation.d_state, states, strict=True):
        for d_part, part in zip(ours_of_layer, state, strict=True):
            assert part.grad is not None
            assert_close(d_part, part.grad[0])


@pytest.mark.parametrize("reset_after", [True, False])
def test_it_judges_the_model_under_the_models_own_names(reset_after: bool) -> None:
    V, T, B = 5, 4, 3
    torch.manual_seed(0)
    model = CharLM(
        V,
        hidden_sizes=(4, 3, 2),
        cell=["gru", "rnn", "lstm"],
        cell_options={"reset_after": reset_after},
        initialisation="uniform",
        backend="eager",
    ).double()
    ids_TB, targets_TB = draw_ids(T, B, V), draw_ids(T, B, V)
    logits_TBV, state = model(ids_TB)
    F.cross_entropy(logits_TBV.flatten(0, 1), targets_TB.flatten()).backward()

    evaluation = judge_of_model(model).evaluate(ids_TB, targets_TB)
    assert_close(evaluation.logits_TBV, logits_TBV)
    for ours, theirs in zip(evaluation.state, state, strict=True):
        for part, expected in zip(ours, theirs, strict=True):
            assert_close(part, expected)
    parameters = dict(model.named_parameters())
    assert evaluation.d_parameters.keys() == parameters.keys()
    for name, parameter in parameters.items():
        assert_close(evaluation.d_parameters[name], parameter.grad)


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (1, 4), (2, 5), (4, 4), (3, 7), (5, 100)])
def test_a_training_by_truncated_bptt_is_followed_update_by_update(k1: int, k2: int) -> None:
    """Against a loop in torch that keeps the state of every step, as last computed."""
    T, B, V, H, learning_rate = 16, 2, 4, 3, 0.5
    torch.manual_seed(1)
    layer = nn.RNN(V, H, bias=True, dtype=torch.float64)
    nn.init.zeros_(layer.bias_hh_l0).requires_grad_(False)
    linear = nn.Linear(H, V, dtype=torch.float64)
    parameters = {
        "layers.0.weight_ih": layer.weight_ih_l0,
        "layers.0.weight_hh": layer.weight_hh_l0,
        "layers.0.bias": layer.bias_ih_l0,
        "output.weight": linear.weight,
        "output.bias": linear.bias,
    }
    ids_TB, targets_TB = draw_ids(T, B, V), draw_ids(T, B, V)
    judge = LanguageModel(
        [judge_of_torch(layer)], linear.weight.detach().numpy(), linear.bias.detach().numpy()
    )
    evaluations = truncated_updates(judge, ids_TB, targets_TB, None, k1, k2)

    state_after = {0: torch.zeros(1, B, H, dtype=torch.float64)}
    for end in range(k1, T + 1, k1):
        state = state_after[max(end - k2, 0)]
        losses = []
        for t in range(max(end - k2, 0), end):
            output_BH, state = layer(F.one_hot(ids_TB[t : t + 1], V).double(), state)
            state_after[t + 1] = state.detach()
            if t >= end - k1:
                losses.append(F.cross_entropy(linear(output_BH[0]), targets_TB[t]))
        loss = torch.stack(losses).mean()
        gradients = torch.autograd.grad(loss, list(parameters.values()))

        evaluation = next(evaluations)
        assert_close(evaluation.loss, loss)
        for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
            assert_close(evaluation.d_parameters[name], gradient)
            judge.parameters[name][...] -= learning_rate * evaluation.d_parameters[name]
            with torch.no_grad():
                parameter -= learning_rate * gradient
    with pytest.raises(StopIteration):
        next(evaluations)


def _model() -> LanguageModel:
    cell = draw_cell("LSTM", 3, 2, np.random.default_rng(0))
    return LanguageModel([cell], np.ones((3, 2)), np.ones(3))


_ids = np.zeros((4, 5), dtype=int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LanguageModel(_model().layers, np.ones((4, 2)), np.ones(4)), "input sizes"),
        (lambda: LanguageModel(_model().layers, np.ones((3, 1)), np.ones(3)), "weight_VH"),
        (lambda: _model().evaluate(_ids + 3, _ids), "ids go from 3 to 3"),
        (lambda: _model().evaluate(_ids, _ids - 1), "ids go from -1 to -1"),
        (lambda: _model().evaluate(_ids.astype(float), _ids), "must be integers"),
        (lambda: _model().evaluate(_ids, _ids[:, :1]), "targets is of shape"),
        (lambda: _model().evaluate(_ids[:3], _ids), "4 steps of targets for 3"),
        (lambda: _model().forward(_ids, ()), "zip"),
        (lambda: next(truncated_updates(_model(), _ids, _ids, None, 3, 2)), "1 <= k1 <= k2"),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_large_logits_do_not_overflow() -> None:
    model = _model()
    model.weight_VH *= 1e4
    assert np.isfinite(model.evaluate(_ids, _ids).loss)
