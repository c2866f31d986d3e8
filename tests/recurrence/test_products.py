"""The recurrence's matrix products, by each of the kernels that may serve them."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from helpers.unrolling import (
    CELLS,
    INPUTS,
    SIZES,
    TOLERANCES,
    assert_judged_right,
    draw,
    draw_inputs,
    draw_state,
)
from torch import Tensor

from charlm.recurrence import products
from charlm.recurrence.bptt import activations

Layout = Callable[[Tensor], Tensor]
LAYOUTS: dict[str, Layout] = {
    "rows": lambda matrix: matrix,
    "columns": lambda matrix: matrix.t().contiguous().t(),
    "part of wider rows": lambda matrix: torch.cat([matrix, matrix], dim=1)[:, : matrix.shape[1]],
}


@pytest.fixture(params=["oneDNN", "oneDNN, if wide", "MKL, packed"])
def everything_by_kernels(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """On any processor: there the kernel is right, if not faster."""
    is_mkl = request.param == "MKL, packed"
    if is_mkl and not torch.backends.mkl.is_available():
        pytest.skip("torch was built without MKL")
    monkeypatch.setattr(products, "LEAST", 1)
    monkeypatch.setattr(products, "LEAST_TO_LAY_OUT", 1)
    monkeypatch.setattr(products, "LEAST_TIMES", 2)
    has_onednn, is_wide = products._CARRIES_ONEDNN, request.param == "oneDNN, if wide"
    monkeypatch.setattr(products, "HAS_ONEDNN", has_onednn and not is_wide)
    monkeypatch.setattr(products, "HAS_WIDE_ONEDNN", has_onednn and is_wide)
    monkeypatch.setattr(products, "HAS_PACKED_MKL", is_mkl)


@pytest.mark.usefixtures("everything_by_kernels")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("lay_left", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("lay_right", LAYOUTS.values(), ids=LAYOUTS)
def test_products_are_products(dtype: torch.dtype, lay_left: Layout, lay_right: Layout) -> None:
    for m, k, n in itertools.product((1, 2, 17), repeat=3):
        left = lay_left(torch.randn(m, k, dtype=dtype))
        right = lay_right(torch.randn(k, n, dtype=dtype))
        addend = torch.randn(m, 2 * n, dtype=dtype)[:, n:]
        allowed = TOLERANCES.get(dtype, 0.05)
        tolerance = {"rtol": allowed, "atol": allowed}
        by = products.By(right, left, times=m)
        torch.testing.assert_close(products.mm(left, right), left @ right, **tolerance)
        torch.testing.assert_close(by.mm(left), left @ right, **tolerance)
        expected = addend + left @ right
        out = torch.empty_like(expected)
        assert by.addmm(addend, left, out=out) is out
        torch.testing.assert_close(out, expected, **tolerance)
        torch.testing.assert_close(by.addmm(addend, left, out=addend), expected, **tolerance)


@pytest.mark.usefixtures("everything_by_kernels")
@pytest.mark.parametrize("name", CELLS)
def test_small_cells_are_right_by_kernels_too(name: str) -> None:
    for sizes, kind in itertools.product(SIZES[:-1], INPUTS):
        cell = draw(name, sizes, torch.float32)
        inputs, state = draw_inputs(kind, sizes, torch.float32), draw_state(cell, sizes.B)
        assert_judged_right(cell, "bptt", inputs, state, TOLERANCES[torch.float32])


@pytest.mark.parametrize("name", CELLS)
def test_large_cells_are_right_without_kernels_too(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kernel in ("HAS_ONEDNN", "HAS_WIDE_ONEDNN", "HAS_PACKED_MKL"):
        monkeypatch.setattr(products, kernel, False)
    cell = draw(name, SIZES[-1], torch.float32)
    inputs = draw_inputs("ids", SIZES[-1])
    state = draw_state(cell, SIZES[-1].B)
    assert_judged_right(cell, "bptt", inputs, state, TOLERANCES[torch.float32])


@pytest.mark.usefixtures("everything_by_kernels")
@pytest.mark.parametrize("lay", LAYOUTS.values(), ids=LAYOUTS)
def test_the_output_layers_product_and_its_gradients(lay: Layout) -> None:
    for T, B, inner, outer in itertools.product((1, 3), (1, 4), (1, 17), (1, 5)):
        layer = torch.nn.Linear(inner, outer)
        inputs = lay(torch.randn(T * B, inner)).unflatten(0, (T, B)).detach().requires_grad_()
        d_outputs = torch.randn(T, B, outer)
        wanted = [inputs, *layer.parameters()]
        expected = torch.autograd.grad(layer(inputs), wanted, d_outputs)
        outputs = products.linear(inputs, layer.weight, layer.bias)
        by_onednn = "_Linear" in type(outputs.grad_fn.next_functions[0][0]).__name__  # type: ignore[union-attr]
        is_layers_own = products.HAS_PACKED_MKL or products.HAS_WIDE_ONEDNN  # there the fastest
        assert by_onednn is not is_layers_own
        torch.testing.assert_close(outputs, layer(inputs))
        torch.testing.assert_close(torch.autograd.grad(outputs, wanted, d_outputs), expected)


@pytest.mark.usefixtures("everything_by_kernels")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_another_type_is_left_to_the_layer_itself(dtype: torch.dtype) -> None:
    layer, inputs = torch.nn.Linear(3, 2, dtype=dtype), torch.randn(4, 5, 3, dtype=dtype)
    assert torch.equal(products.linear(inputs, layer.weight, layer.bias), layer(inputs))


@pytest.mark.parametrize("by_numpy", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_tanh_of_every_value(
    dtype: torch.dtype, by_numpy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activations, "IS_NUMPY_FASTER", by_numpy)
    special = [0.0, -0.0, 1e-40, 1e-8, 9.0, 1e38, math.inf, -math.inf, math.nan]
    values = torch.cat([torch.tensor(special), torch.randn(1000) * 3]).to(dtype)
    expected = torch.tanh(values.double()).to(dtype)
    tensor = torch.stack([values, values], dim=1)  # columns, as a gate's part of a buffer
    assert activations.tanh_(tensor[:, 0]).data_ptr() == tensor.data_ptr()
    tolerance = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(tensor[:, 0], expected, rtol=tolerance, atol=0, equal_nan=True)
    assert torch.equal(tensor[:, 1].nan_to_num(), values.nan_to_num())
