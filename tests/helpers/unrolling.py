"""Cells, inputs and states to hold every backend to the reference.

T time steps · B lanes · I input size · H hidden size
"""
# ruff: noqa: E741 - I is the input size.

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from charlm import reference
from charlm.cells import GRU, LSTM, RNN, Cell, State, initialise
from charlm.recurrence import BACKENDS, unroll
from helpers.judging import judge_of

CELLS: dict[str, Callable[[int, int], Cell]] = {
    "RNN tanh": RNN,
    "RNN relu": lambda I, H: RNN(I, H, "relu"),
    "GRU reset after": GRU,
    "GRU reset before": lambda I, H: GRU(I, H, reset_after=False),
    "LSTM": LSTM,
}
PAIRS = [
    (cell, backend)
    for cell, backend in itertools.product(CELLS, [*BACKENDS, "auto"])
    if backend == "auto" or BACKENDS[backend].serves(CELLS[cell](2, 2))
]
# The norm of a tensor's error as a part of its own.
# In bfloat16 it is large where rounding turns a relu on or off.
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 0.1}
INPUTS = ("ids", "vectors", "vectors, not contiguous")


@dataclass(frozen=True)
class Sizes:
    T: int = 5
    B: int = 3
    I: int = 4
    H: int = 6


# The last one is large enough for oneDNN's matrix product.
SIZES = (Sizes(), Sizes(T=1), Sizes(B=1), Sizes(T=1, B=1, I=1, H=1), Sizes(T=3, B=33, H=192))

cells_and_backends = pytest.mark.parametrize(("name", "backend"), PAIRS)
on_each_device = pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
)

# cuDNN's own choice has 10 bits of mantissa.
torch.backends.cudnn.allow_tf32 = False


def draw(name: str, sizes: Sizes, dtype: torch.dtype = torch.float64, seed: int = 0) -> Cell:
    torch.manual_seed(seed)
    cell = CELLS[name](sizes.I, sizes.H)
    initialise(cell, "uniform")
    return cell.to(dtype)


def draw_inputs(kind: str, sizes: Sizes, dtype: torch.dtype = torch.float64) -> Tensor:
    T, B, I = sizes.T, sizes.B, sizes.I
    if kind == "ids":
        return torch.randint(I, (T, B))
    if kind == "vectors":
        return torch.randn(T, B, I).to(dtype)
    return torch.randn(I, B, T).to(dtype).permute(2, 1, 0)


def draw_state(cell: Cell, B: int) -> State:
    dtype = cell.weight_hh.dtype
    return tuple(torch.randn(B, cell.hidden_size).to(dtype) for _ in cell.state_names)


def error(actual: Tensor | None, expected: np.ndarray | Tensor) -> float:
    assert actual is not None
    expected = torch.as_tensor(expected).detach().double().cpu()
    actual = actual.detach().double().cpu()
    assert actual.shape == expected.shape
    return ((actual - expected).norm() / expected.norm().clamp(min=1e-30)).item()


def assert_judged_right(
    cell: Cell, backend: str, inputs: Tensor, state: State, tolerance: float, device: str = "cpu"
) -> None:
    """Outputs, final state and every gradient, of a loss that sees outputs and final state."""
    T, B = inputs.shape[:2]
    d_outputs = torch.randn(T, B, cell.hidden_size).to(cell.weight_hh.dtype)
    d_final = draw_state(cell, B)
    judge = judge_of(cell)
    x = F.one_hot(inputs, cell.input_size) if inputs.dtype == torch.long else inputs
    run = reference.unroll(judge, x.double().numpy(), tuple(p.double().numpy() for p in state))
    gradients = reference.bptt(
        judge, run, d_outputs.double().numpy(), tuple(p.double().numpy() for p in d_final)
    )

    cell = cell.to(device)
    inputs = inputs.to(device).requires_grad_(inputs.dtype != torch.long)
    state = tuple(part.to(device).requires_grad_() for part in state)
    outputs, final = unroll(cell, inputs, state, backend)
    torch.autograd.backward(
        (outputs, *final), (d_outputs.to(device), *(part.to(device) for part in d_final))
    )
    errors = {"outputs": error(outputs, run.outputs_TBH)}
    for name, mine, his, mine_before, his_gradient in zip(
        cell.state_names, final, run.state, state, gradients.state, strict=True
    ):
        errors[f"final {name}"] = error(mine, his)
        errors[f"gradient by the initial {name}"] = error(mine_before.grad, his_gradient)
    for name, parameter in cell.named_parameters():
        errors[f"gradient by {name}"] = error(parameter.grad, gradients.parameters[name])
    if inputs.requires_grad:
        errors["gradient by the inputs"] = error(inputs.grad, gradients.inputs_TBI)
    assert max(errors.values()) < tolerance, errors
