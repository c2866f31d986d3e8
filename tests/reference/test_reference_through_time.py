"""The reference's RTRL, with what it costs, and its truncated BPTT.

T time steps · B lanes · I input size · H hidden size
"""
# ruff: noqa: E741 - I is the input size.

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.judging import assert_close, draw_cell, draw_state, judge_of_torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from charlm.reference import RNN, bptt, rtrl, truncated_bptt, unroll
from scripts.benchmarks import rtrl_cost

ROOT = Path(__file__).parent.parent.parent
sizes = st.integers(1, 5)
seeds = st.integers(0, 99)


# --- RTRL ----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["RNN tanh", "RNN relu"]), st.integers(1, 8), sizes, sizes, sizes, seeds)
def test_rtrl_and_bptt_give_the_same_gradient(
    name: str, T: int, B: int, I: int, H: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    cell = draw_cell(name, I, H, random)
    assert isinstance(cell, RNN)
    x_TBI, state = random.normal(size=(T, B, I)), draw_state(cell, B, random)
    d_outputs_TBH = random.normal(size=(T, B, H))
    backward = bptt(cell, unroll(cell, x_TBI, state), d_outputs_TBH).parameters
    forward = rtrl(cell, x_TBI, state, d_outputs_TBH)
    assert forward.keys() == backward.keys()
    for key in forward:
        assert_close(forward[key], backward[key], 1e-10)


class Counted(np.ndarray):
    """An array that counts the multiply-adds of the matrix products it takes part in."""

    multiply_adds = 0

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [np.asarray(each) for each in inputs]
        if "out" in options:
            options["out"] = tuple(np.asarray(each) for each in options["out"])
        result = getattr(ufunc, method)(*plain, **options)
        if ufunc is np.matmul:
            Counted.multiply_adds += result.size * plain[0].shape[-1]
        return np.asarray(result).view(Counted)


@pytest.mark.parametrize(("T", "B", "I", "H"), [(1, 1, 1, 1), (3, 2, 4, 5), (2, 3, 5, 2)])
def test_the_cost_formulae_count_what_is_computed(T: int, B: int, I: int, H: int) -> None:
    cell, x_TBI, d_outputs_TBH = rtrl_cost.problem(T, B, I, H)
    for key, value in cell.parameters.items():
        setattr(cell, key, value.view(Counted))

    Counted.multiply_adds = 0
    bptt(cell, unroll(cell, x_TBI), d_outputs_TBH)
    assert Counted.multiply_adds == rtrl_cost.bptt_multiply_adds(T, B, I, H)

    Counted.multiply_adds = 0
    rtrl(cell, x_TBI, None, d_outputs_TBH)
    assert Counted.multiply_adds == rtrl_cost.rtrl_multiply_adds(T, B, I, H)


def test_rtrl_costs_the_square_of_bptt() -> None:
    """For large H, twice as many hidden units: 4 times BPTT's multiply-adds, 16 times RTRL's."""
    for name, factor in (("bptt_multiply_adds", 4), ("rtrl_multiply_adds", 16)):
        cost = getattr(rtrl_cost, name)
        assert cost(1, 1, 1, 2000) / cost(1, 1, 1, 1000) == pytest.approx(factor, rel=0.01)


def test_the_script_prints_a_row_for_each_size() -> None:
    command = [
        sys.executable,
        "-m",
        "scripts.benchmarks.rtrl_cost",
        "--hidden-sizes",
        "2",
        "3",
        "--num-steps",
        "4",
    ]
    printed = subprocess.run(
        [*command, "--input-size", "2"], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout.splitlines()
    assert printed[0].startswith("4 steps, 1 lanes, 2 inputs")
    assert [row.split()[:4] for row in printed[2:]] == [
        ["2", "96", "272", "2.8"],
        ["3", "180", "924", "5.1"],
    ]
    assert all(float(ms) > 0 for row in printed[2:] for ms in row.split()[4:])


# --- Truncated BPTT ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["RNN tanh", "GRU reset after", "GRU reset before", "LSTM"])
@pytest.mark.parametrize("k2", [6, 7, 100])
def test_what_is_not_cut_is_bptt(name: str, k2: int) -> None:
    T, B, I, H = 6, 2, 3, 4
    random = np.random.default_rng(0)
    cell = draw_cell(name, I, H, random)
    x_TBI, state = random.normal(size=(T, B, I)), draw_state(cell, B, random)
    d_outputs_TBH = random.normal(size=(T, B, H))
    whole = bptt(cell, unroll(cell, x_TBI, state), d_outputs_TBH)
    truncated = truncated_bptt(cell, x_TBI, state, d_outputs_TBH, k1=T, k2=k2)
    assert_close(truncated.inputs_TBI, whole.inputs_TBI)
    for key, value in whole.parameters.items():
        assert_close(truncated.parameters[key], value)
    for ours, expected in zip(truncated.state, whole.state, strict=True):
        assert_close(ours, expected)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 9), seeds)
def test_truncated_bptt_is_autograd_with_the_state_detached(
    k1: int, k2: int, T: int, seed: int
) -> None:
    assume(k1 <= k2)
    torch.manual_seed(seed)
    layer = nn.LSTM(2, 3, dtype=torch.float64)
    x_TBI = torch.randn(T, 4, 2, dtype=torch.float64)
    d_outputs_TBH = torch.randn(T, 4, 3, dtype=torch.float64)
    state: tuple[Tensor, Tensor] | None = None
    loss = torch.zeros(())
    for t in range(T):
        if state is not None and t == T - k2:
            state = (state[0].detach(), state[1].detach())
        output_BH, state = layer(x_TBI[t : t + 1], state)
        if t >= T - k1:
            loss = loss + (output_BH[0] * d_outputs_TBH[t]).sum()
    loss.backward()
    ours = truncated_bptt(judge_of_torch(layer), x_TBI, None, d_outputs_TBH, k1, k2).parameters
    for key in ("weight_ih", "weight_hh"):
        assert_close(ours[key], layer.get_parameter(f"{key}_l0").grad)
    assert_close(ours["bias"], layer.bias_ih_l0.grad)


@pytest.mark.parametrize(("k1", "k2"), [(0, 3), (3, 2)])
def test_loss_that_no_gradient_would_feel_is_refused(k1: int, k2: int) -> None:
    cell = draw_cell("RNN tanh", 2, 2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="must be 1 <= k1 <= k2"):
        truncated_bptt(cell, np.ones((4, 1, 2)), None, np.ones((4, 1, 2)), k1, k2)
