"""The reference's steps and BPTT: against published figures, ``torch.nn`` and finite differences.

T time steps · B lanes · I input size · H hidden size
"""
# ruff: noqa: E741 - I is the input size.

from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers.judging import CELLS, assert_close, draw_cell, draw_state, judge_of_torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from charlm.reference import GRU, RNN, Array, Parameters, bptt, unroll

sizes = st.integers(1, 5)


# --- Published figures ---------------------------------------------------------------------------


def rnn_step_of_the_exercise(bias_of_next_part: bool) -> tuple[Array, Array, Parameters]:
    """d_x_BI, d_h_BH and d_parameters of one step, drawn as the exercise draws it."""
    np.random.seed(1)
    xt, a_prev = np.random.randn(3, 10), np.random.randn(5, 10)
    Wax, Waa, _Wya = np.random.randn(5, 3), np.random.randn(5, 5), np.random.randn(2, 5)
    ba, _by, da_next = np.random.randn(5, 1), np.random.randn(2, 1), np.random.randn(5, 10)
    if bias_of_next_part:
        np.random.seed(1)
        for shape in ((3, 10, 4), (5, 10), (5, 5), (5, 3), (2, 5)):
            np.random.randn(*shape)
        ba = np.random.randn(5, 1)
    cell = RNN(weight_ih=Wax, weight_hh=Waa, bias=ba[:, 0])
    _, trace = cell.step(xt.T, (a_prev.T,))
    d_x_BI, (d_h_BH,), d_parameters = cell.step_backward(trace, (da_next.T,))
    return d_x_BI, d_h_BH, d_parameters


def test_an_rnn_step_has_the_published_gradients() -> None:
    """Figures of ``rnn_cell_backward``, "Building your recurrent neural network, step by step".

    In this exercise of the course Sequence Models (deeplearning.ai), examples are columns, and
    a_next = tanh(Wax xt + Waa a_prev + ba). The figures were computed in a notebook where ``ba``
    still was the one that the exercise's next part draws, after the same seed: they hold with
    that one only. With the ``ba`` drawn in its place, dxt[1][2] is another.
    """
    d_x_BI, d_h_BH, d_parameters = rnn_step_of_the_exercise(bias_of_next_part=True)
    assert_close(d_x_BI[2, 1], -0.4605641030588796)
    assert_close(d_h_BH[3, 2], 0.08429686538067724)
    assert_close(d_parameters["weight_ih"][3, 1], 0.39308187392193034)
    assert_close(d_parameters["weight_hh"][1, 2], -0.28483955786960663)
    assert_close(d_parameters["bias"][4], 0.80517166, 1e-8)

    d_x_BI, _, _ = rnn_step_of_the_exercise(bias_of_next_part=False)
    assert_close(d_x_BI[2, 1], -1.3872130506020928)


# --- torch.nn ------------------------------------------------------------------------------------


LAYERS: dict[str, Callable[..., nn.RNNBase]] = {
    "RNN tanh": nn.RNN,
    "RNN relu": lambda I, H, **options: nn.RNN(I, H, nonlinearity="relu", **options),
    "GRU reset after": nn.GRU,
    "LSTM": nn.LSTM,
}


def assert_agrees_with_torch(name: str, T: int, B: int, I: int, H: int, seed: int) -> None:
    torch.manual_seed(seed)
    module = LAYERS[name](I, H, dtype=torch.float64)
    cell = judge_of_torch(module)
    x_TBI = torch.randn(T, B, I, dtype=torch.float64, requires_grad=True)
    states = [
        torch.randn(1, B, H, dtype=torch.float64, requires_grad=True)
        for _ in range(cell.num_states)
    ]
    outputs_TBH, after = module(x_TBI, tuple(states) if len(states) > 1 else states[0])
    after = after if isinstance(after, tuple) else (after,)
    d_outputs_TBH = torch.randn_like(outputs_TBH)
    d_after = [torch.randn_like(part) for part in after]
    torch.autograd.backward((outputs_TBH, *after), (d_outputs_TBH, *d_after))

    unrolled = unroll(cell, x_TBI.detach(), tuple(part.detach()[0] for part in states))
    gradients = bptt(cell, unrolled, d_outputs_TBH, tuple(part[0] for part in d_after))

    assert_close(unrolled.outputs_TBH, outputs_TBH.detach())
    for ours, theirs in zip(unrolled.state, after, strict=True):
        assert_close(ours, theirs.detach()[0])
    assert_close(gradients.inputs_TBI, x_TBI.grad)
    for ours, part in zip(gradients.state, states, strict=True):
        assert part.grad is not None
        assert_close(ours, part.grad[0])
    d_weight_ih, d_weight_hh, d_bias_ih, d_bias_hh = (p.grad for p in module.parameters())
    assert gradients.parameters.keys() == cell.parameters.keys()
    assert_close(gradients.parameters["weight_ih"], d_weight_ih)
    assert_close(gradients.parameters["weight_hh"], d_weight_hh)
    assert_close(gradients.parameters["bias"], d_bias_ih)
    if "bias_hn" in gradients.parameters:
        assert d_bias_hh is not None
        assert_close(gradients.parameters["bias_hn"], d_bias_hh[2 * H :])


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients_are_those_of_torch(name: str) -> None:
    assert_agrees_with_torch(name, T=3, B=3, I=4, H=5, seed=0)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(list(LAYERS)), sizes, sizes, sizes, sizes, st.integers(0, 99))
def test_they_are_so_for_all_shapes(name: str, T: int, B: int, I: int, H: int, seed: int) -> None:
    assert_agrees_with_torch(name, T, B, I, H, seed)


def test_a_gru_with_the_reset_before_the_product_has_the_gradients_of_autograd() -> None:
    """The equation of the book and of Cho et al. (2014), which torch.nn doesn't have."""
    T, B, I, H = 4, 3, 2, 5
    random = np.random.default_rng(0)
    cell = draw_cell("GRU reset before", I, H, random)
    x_TBI, (h_BH,) = random.normal(size=(T, B, I)), draw_state(cell, B, random)
    d_outputs_TBH = random.normal(size=(T, B, H))

    leaves = [
        torch.tensor(array, requires_grad=True)
        for array in (x_TBI, h_BH, *cell.parameters.values())
    ]
    x, h, weight_ih, weight_hh, bias = leaves
    W_ir, W_iz, W_in = weight_ih.chunk(3)
    W_hr, W_hz, W_hn = weight_hh.chunk(3)
    b_r, b_z, b_n = bias.chunk(3)
    outputs: list[Tensor] = []
    for x_t in x:
        r = torch.sigmoid(x_t @ W_ir.T + b_r + h @ W_hr.T)
        z = torch.sigmoid(x_t @ W_iz.T + b_z + h @ W_hz.T)
        n = torch.tanh(x_t @ W_in.T + b_n + (r * h) @ W_hn.T)
        h = (1 - z) * n + z * h
        outputs.append(h)
    torch.stack(outputs).backward(torch.tensor(d_outputs_TBH))

    unrolled = unroll(cell, x_TBI, (h_BH,))
    gradients = bptt(cell, unrolled, d_outputs_TBH)
    assert_close(unrolled.outputs_TBH, torch.stack(outputs).detach())
    assert "bias_hn" not in gradients.parameters
    for ours, leaf in zip(
        (gradients.inputs_TBI, *gradients.state, *gradients.parameters.values()),
        leaves,
        strict=True,
    ):
        assert_close(ours, leaf.grad)


# --- Finite differences --------------------------------------------------------------------------


def finite_differences(loss: Callable[[], float], array: Array, step: float = 1e-5) -> Array:
    """∂loss/∂ every element of ``array``, which is changed in place, by central differences."""
    derivative = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        value = array[index]
        array[index] = value + step
        above = loss()
        array[index] = value - step
        derivative[index] = (above - loss()) / (2 * step)
        array[index] = value
    return derivative


@pytest.mark.parametrize("name", CELLS)
def test_every_gradient_is_the_slope_of_the_loss(name: str) -> None:
    T, B, I, H = 3, 2, 3, 4
    random = np.random.default_rng(1)
    cell = draw_cell(name, I, H, random)
    x_TBI, state = random.normal(size=(T, B, I)), draw_state(cell, B, random)
    d_outputs_TBH, d_state = random.normal(size=(T, B, H)), draw_state(cell, B, random)

    def loss() -> float:
        """Linear in the outputs and the final state, so that these are its derivatives."""
        unrolled = unroll(cell, x_TBI, state)
        parts = zip(d_state, unrolled.state, strict=True)
        return float((d_outputs_TBH * unrolled.outputs_TBH).sum()) + sum(
            float((d_part * part).sum()) for d_part, part in parts
        )

    gradients = bptt(cell, unroll(cell, x_TBI, state), d_outputs_TBH, d_state)
    assert_close(gradients.inputs_TBI, finite_differences(loss, x_TBI), 1e-8)
    for ours, part in zip(gradients.state, state, strict=True):
        assert_close(ours, finite_differences(loss, part), 1e-8)
    for key, value in cell.parameters.items():
        assert_close(gradients.parameters[key], finite_differences(loss, value), 1e-8)


# --- What a judge must be ------------------------------------------------------------------------


def test_training_a_layer_does_not_move_its_judge() -> None:
    module = nn.LSTM(2, 3, dtype=torch.float64)
    cell = judge_of_torch(module)
    before = cell.weight_hh.copy()
    with torch.no_grad():
        module.weight_hh_l0 += 1
    assert_close(cell.weight_hh, before)


@pytest.mark.parametrize("name", ["GRU reset after", "GRU reset before", "LSTM"])
def test_saturated_gates_do_not_overflow(name: str) -> None:
    cell = draw_cell(name, 2, 3, np.random.default_rng(2))
    for value in cell.parameters.values():
        value *= 1e5
    unrolled = unroll(cell, np.ones((4, 2, 2)))
    gradients = bptt(cell, unrolled, np.ones((4, 2, 3)))
    assert np.isfinite(unrolled.outputs_TBH).all()
    assert all(np.isfinite(value).all() for value in gradients.parameters.values())


def test_float32_is_judged_in_float64() -> None:
    cell = RNN(*(np.ones(shape, dtype=np.float32) for shape in ((3, 2), (3, 3), (3,))))
    unrolled = unroll(cell, np.ones((2, 1, 2), dtype=np.float32))
    assert unrolled.outputs_TBH.dtype == np.float64


def _rnn(**changed: tuple[int, ...]) -> RNN:
    shapes = {"weight_ih": (3, 2), "weight_hh": (3, 3), "bias": (3,)} | changed
    return RNN(**{name: np.ones(shape) for name, shape in shapes.items()})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _rnn(bias=(1,)), "bias is of shape"),
        (lambda: _rnn(weight_ih=(1, 2)), "weight_ih is of shape"),
        (lambda: _rnn(weight_hh=(1, 3)), "weight_hh is of shape"),
        (lambda: RNN(*_rnn().parameters.values(), nonlinearity="sine"), "nonlinearity 'sine'"),
        (
            lambda: GRU(np.ones((9, 2)), np.ones((9, 3)), np.ones(9), np.ones(1)),
            "bias_hn is of shape",
        ),
        (lambda: unroll(_rnn(), np.ones((4, 5, 1))), "x is of shape"),
        (lambda: unroll(_rnn(), np.ones((4, 5, 2)), (np.ones((1, 3)),)), "state is of shape"),
        (lambda: unroll(_rnn(), np.ones((4, 5, 2)), (np.ones((5, 3)),) * 2), "state of 2 parts"),
        (
            lambda: bptt(_rnn(), unroll(_rnn(), np.ones((4, 5, 2))), np.ones((1, 5, 3))),
            "d_outputs is of shape",
        ),
    ],
)
def test_nothing_broadcasts_in_silence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
