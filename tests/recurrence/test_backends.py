"""Every backend for every cell against the NumPy reference in float64, forward and backward.

T time steps · B lanes · I input size · H hidden size
"""

import itertools
from typing import Any

import pytest
import torch
from helpers.judging import judge_of_model
from helpers.unrolling import (
    INPUTS,
    SIZES,
    TOLERANCES,
    Sizes,
    assert_judged_right,
    cells_and_backends,
    draw,
    draw_inputs,
    draw_state,
    error,
    on_each_device,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from charlm.model import CharLM
from charlm.recurrence import unroll


@on_each_device
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@cells_and_backends
def test_outputs_and_gradients_are_the_reference_s(
    name: str, backend: str, dtype: torch.dtype, sizes: Sizes, device: str
) -> None:
    for kind in INPUTS:
        cell = draw(name, sizes, dtype)
        inputs, state = draw_inputs(kind, sizes, dtype), draw_state(cell, sizes.B)
        assert_judged_right(cell, backend, inputs, state, TOLERANCES[dtype], device)


@settings(max_examples=25)
@given(
    sizes=st.builds(Sizes, *[st.integers(1, 5)] * 4),
    kind=st.sampled_from(INPUTS),
    seed=st.integers(0, 2**32),
)
@cells_and_backends
def test_they_are_so_for_all_shapes(
    name: str, backend: str, sizes: Sizes, kind: str, seed: int
) -> None:
    cell = draw(name, sizes, seed=seed)
    inputs, state = draw_inputs(kind, sizes), draw_state(cell, sizes.B)
    assert_judged_right(cell, backend, inputs, state, 1e-10)


@cells_and_backends
def test_every_gradient_is_the_slope(name: str, backend: str) -> None:
    sizes = Sizes(T=3, B=2, I=2, H=3)
    cell = draw(name, sizes)
    inputs, state = draw_inputs("vectors", sizes), draw_state(cell, sizes.B)
    varied = [part.requires_grad_() for part in (inputs, *state)]

    def everything(*_: Tensor) -> tuple[Tensor, ...]:
        outputs, final = unroll(cell, inputs, state, backend)
        return outputs, *final

    assert torch.autograd.gradcheck(everything, (*varied, *cell.parameters()))


@on_each_device
@cells_and_backends
def test_a_carried_state_makes_one_text_of_two_windows(
    name: str, backend: str, device: str
) -> None:
    sizes = Sizes(T=6)
    cell = draw(name, sizes).to(device)
    ids, state = draw_inputs("ids", sizes).to(device), cell.initial_state(sizes.B)
    weights = torch.randn(6, sizes.B, sizes.H, dtype=torch.float64, device=device)

    whole, whole_state = unroll(cell, ids, state, backend)
    (whole * weights).sum().backward()
    expected = [parameter.grad for parameter in cell.parameters()]
    cell.zero_grad()
    first, between = unroll(cell, ids[:2], state, backend)
    second, final = unroll(cell, ids[2:], between, backend)
    (torch.cat([first, second]) * weights).sum().backward()

    assert error(torch.cat([first, second]), whole) < 1e-12
    for mine, his in zip(final, whole_state, strict=True):
        assert error(mine, his) < 1e-12
    for parameter, gradient in zip(cell.parameters(), expected, strict=True):
        assert gradient is not None
        assert error(parameter.grad, gradient) < 1e-12


@on_each_device
@pytest.mark.parametrize("hidden_sizes", [(6,), (6, 4), (3, 5, 2)], ids=str)
@cells_and_backends
def test_whole_models_of_unequal_layers_are_the_reference_s(
    name: str, backend: str, hidden_sizes: tuple[int, ...], device: str
) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"cell": name.split()[0].lower()}
    if name == "RNN relu":
        options["cell_options"] = {"nonlinearity": "relu"}
    if name == "GRU reset before":
        options["cell_options"] = {"reset_after": False}
    model = CharLM(5, hidden_sizes, backend=backend, initialisation="uniform", **options).double()
    ids, targets = torch.randint(5, (2, 7, 3))
    state = tuple(draw_state(cell, 3) for cell in model.cells)
    expected = judge_of_model(model).evaluate(
        ids.numpy(), targets.numpy(), tuple(tuple(p.numpy() for p in layer) for layer in state)
    )

    model = model.to(device)
    on_device = tuple(tuple(p.to(device).requires_grad_() for p in layer) for layer in state)
    logits, final = model(ids.to(device), on_device)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten().to(device))
    loss.backward()
    assert error(logits, expected.logits_TBV) < 1e-10
    assert loss.item() == pytest.approx(expected.loss, rel=1e-12)
    for mine, his in zip(itertools.chain(*final), itertools.chain(*expected.state), strict=True):
        assert error(mine, his) < 1e-10
    for mine, his in zip(
        itertools.chain(*on_device), itertools.chain(*expected.d_state), strict=True
    ):
        assert error(mine.grad, his) < 1e-10
    for parameter_name, parameter in model.named_parameters():
        assert error(parameter.grad, expected.d_parameters[parameter_name]) < 1e-10


@pytest.mark.parametrize("backend", ["eager", "bptt", "auto"])
def test_a_stack_of_different_cells_is_the_reference_s(backend: str) -> None:
    torch.manual_seed(0)
    model = CharLM(
        5, (4, 3, 6), ("lstm", "rnn", "gru"), backend=backend, initialisation="uniform"
    ).double()
    ids, targets = torch.randint(5, (2, 7, 3))
    expected = judge_of_model(model).evaluate(ids.numpy(), targets.numpy())
    logits, _ = model(ids)
    F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    assert error(logits, expected.logits_TBV) < 1e-10
    for name, parameter in model.named_parameters():
        assert error(parameter.grad, expected.d_parameters[name]) < 1e-10
