"""h_t = a_t * h_(t-1) + b_t by the loop and by the tree, against the judge and one another.

T time steps · B lanes · H hidden size
"""

from typing import Any

import numpy as np
import pytest
import torch
from helpers.judging import assert_close
from helpers.unrolling import error
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from charlm.cells import Cell, MinGRU, State
from charlm.cells.options import build
from charlm.recurrence import fastest, unroll
from charlm.recurrence.scan.recurrence import LOOP, TREE, Way, linear_recurrence
from charlm.reference import later_cells as judge

WAYS = {"loop": LOOP, "tree": TREE}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
LINEAR = ["min_gru", "min_lstm", "rg_lru"]


@settings(max_examples=10)
@given(
    T=st.integers(1, 9),
    B=st.integers(1, 3),
    H=st.integers(1, 4),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**32),
)
@each_way
def test_outputs_and_gradients_are_the_judge_s(
    way: Way, T: int, B: int, H: int, share: float, seed: int
) -> None:
    torch.manual_seed(seed)
    a, b, d_h = torch.randn(3, T, B, H, dtype=torch.float64)
    a[torch.rand(T, B) < share] = 0  # a document begins
    h = torch.randn(B, H, dtype=torch.float64)
    given_ = [tensor.requires_grad_() for tensor in (a, b, h)]
    h_TBH = linear_recurrence(*given_, way)
    h_TBH.backward(d_h)

    arrays: list[Any] = [tensor.detach().numpy() for tensor in given_]
    assert_close(h_TBH, judge.linear_recurrence(*arrays), 1e-10)
    expected = judge.linear_recurrence_backward(*arrays, d_h.numpy())
    for tensor, gradient in zip(given_, expected, strict=True):
        assert_close(tensor.grad, gradient, 1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_both_ways_agree_in_half_and_in_single_precision(
    dtype: torch.dtype, tolerance: float
) -> None:
    torch.manual_seed(0)
    a = torch.rand(64, 5, 7).to(dtype)
    b, h = torch.randn(64, 5, 7).to(dtype), torch.randn(5, 7).to(dtype)
    exact = judge.linear_recurrence(*(x.double().numpy() for x in (a, b, h)))
    for way in WAYS.values():
        result = linear_recurrence(a, b, h, way)
        assert result.dtype == dtype
        assert error(result, np.asarray(exact)) < tolerance


def test_shapes_that_don_t_fit_are_refused() -> None:
    a, b = torch.ones(3, 2, 4), torch.ones(3, 2, 4)
    for wrong in ((a[:2], b, a[0]), (a, b, a[0, :1]), (a[:, :1], b, a[0])):
        with pytest.raises(ValueError, match="don't fit one another"):
            linear_recurrence(*wrong)


@pytest.mark.parametrize("name", LINEAR)
def test_it_is_what_auto_takes(name: str) -> None:
    (cell,) = build([name], [4, 6], None)
    assert fastest(cell, torch.device("cpu")) == fastest(cell, torch.device("cuda")) == "scan"


def results(cell: Cell, ids_TB: Tensor, backend: str, begins_TB: Tensor) -> list[Tensor | None]:
    cell.zero_grad()
    outputs, state = unroll(cell, ids_TB, cell.initial_state(3), backend, begins_TB)
    second, final = unroll(cell, ids_TB, state, backend)
    (outputs.square().sum() + second.float().square().sum()).backward()
    return [outputs, second, *final, *(parameter.grad for parameter in cell.parameters())]


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("is_half", [False, True])
def test_a_carried_state_and_documents_in_single_and_in_mixed_precision(
    name: str, is_half: bool
) -> None:
    torch.manual_seed(0)
    (cell,) = build([name], [4, 6], None)
    cell.initialise("uniform")
    ids_TB, begins_TB = torch.randint(4, (20, 3)), torch.rand(20, 3) < 0.2
    with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
        pairs = zip(
            results(cell, ids_TB, "scan", begins_TB),
            results(cell, ids_TB, "eager", begins_TB),
            strict=True,
        )
        for mine, his in pairs:
            assert mine is not None
            assert his is not None
            assert mine.dtype == his.dtype
            assert error(mine, his) < (0.05 if is_half else 1e-5)


def test_the_final_state_doesn_t_keep_the_window() -> None:
    cell = MinGRU(4, 6)
    cell.initialise("uniform")
    state: State = cell.initial_state(3)
    _, state = unroll(cell, torch.zeros(50, 3, dtype=torch.long), state, "scan")
    assert all(part.untyped_storage().nbytes() == part.numel() * 4 for part in state)


@pytest.mark.gpu
@each_way
def test_on_a_gpu(way: Way) -> None:
    torch.manual_seed(0)
    given_ = [torch.rand(33, 3, 5), torch.randn(33, 3, 5), torch.randn(3, 5)]
    results_ = []
    for device, chosen in (("cpu", LOOP), ("cuda", way)):
        tensors = [x.to(device).requires_grad_() for x in (y.detach().clone() for y in given_)]
        h_TBH = linear_recurrence(*tensors, chosen)
        h_TBH.square().sum().backward()
        results_.append([h_TBH, *(x.grad for x in tensors)])
    for expected, actual in zip(*results_, strict=True):
        assert error(actual, expected) < 1e-5
