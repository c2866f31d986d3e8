"""The recurrence's matrix products, by each of the kernels that may serve them."""

import itertools

import pytest
import torch
from unrolling import (
    CELLS,
    INPUTS,
    SIZES,
    TOLERANCES,
    assert_judged_right,
    draw,
    draw_inputs,
    draw_state,
)

from charlm.recurrence import products


@pytest.fixture
def everything_by_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LEAST", 1)


@pytest.mark.usefixtures("everything_by_onednn")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("left_is_transposed", [False, True])
@pytest.mark.parametrize("right_is_transposed", [False, True])
def test_products_are_products(
    dtype: torch.dtype, left_is_transposed: bool, right_is_transposed: bool
) -> None:
    for m, k, n in itertools.product((1, 2, 17), repeat=3):
        left, right = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
        left = left.t().contiguous().t() if left_is_transposed else left
        right = right.t().contiguous().t() if right_is_transposed else right
        addend = torch.randn(m, 2 * n, dtype=dtype)[:, n:]
        tolerance = {"rtol": TOLERANCES[dtype], "atol": TOLERANCES[dtype]}
        by = products.By(right, left)
        torch.testing.assert_close(products.mm(left, right), left @ right, **tolerance)
        torch.testing.assert_close(by.mm(left), left @ right, **tolerance)
        expected = addend + left @ right
        out = torch.empty_like(expected)
        assert by.addmm(addend, left, out=out) is out
        torch.testing.assert_close(out, expected, **tolerance)
        torch.testing.assert_close(by.addmm(addend, left, out=addend), expected, **tolerance)


@pytest.mark.usefixtures("everything_by_onednn")
@pytest.mark.parametrize("name", CELLS)
def test_small_cells_are_right_by_onednn_too(name: str) -> None:
    for sizes, kind in itertools.product(SIZES[:-1], INPUTS):
        cell = draw(name, sizes, torch.float32)
        inputs, state = draw_inputs(kind, sizes, torch.float32), draw_state(cell, sizes.B)
        assert_judged_right(cell, "bptt", inputs, state, TOLERANCES[torch.float32])


@pytest.mark.parametrize("name", CELLS)
def test_large_cells_are_right_without_onednn_too(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "HAS_ONEDNN", False)
    cell = draw(name, SIZES[-1], torch.float32)
    inputs = draw_inputs("ids", SIZES[-1])
    state = draw_state(cell, SIZES[-1].B)
    assert_judged_right(cell, "bptt", inputs, state, TOLERANCES[torch.float32])
