"""Every cell on every backend in mixed precision: what bfloat16 may change, and what it may not.

T time steps · B lanes · I input size · H hidden size
"""
# ruff: noqa: E741 - I is the input size.

import pytest
import torch
from helpers.unrolling import error, on_each_device
from torch import Tensor

from charlm.cells import CELLS, LSTM, Cell, MinGRU, initialise
from charlm.cells.options import build
from charlm.recurrence import BACKENDS, fastest, library, unroll

T, B, I, H = 4, 3, 5, 16
# The norm of a tensor's error as a part of its own. Layer normalisation of a state that a document
# begins with, almost zero, enlarges whatever is rounded.
TOLERANCES = {"layer_norm_lstm": 0.1}


def draw(name: str) -> Cell:
    torch.manual_seed(0)
    (cell,) = build([name], [I, H], None)
    initialise(cell, "uniform")
    return cell


IN_FLOAT32 = library.keeps_memory(LSTM(1, 1), torch.device("cpu"))
# Those that keep the LSTM's memory in float32.
LSTM_WAYS = ["eager", "bptt"] + ["library"] * IN_FLOAT32
PAIRS = [
    (cell, backend)
    for cell in CELLS
    for backend in ("auto", *BACKENDS)
    if backend == "auto" or BACKENDS[backend].serves(draw(cell))
]


def two_windows(
    cell: Cell, inputs: Tensor, backend: str, begins_TB: Tensor | None, is_half: bool
) -> list[Tensor]:
    """Outputs, final state and gradients of two windows, the state carried between them."""
    cell.zero_grad()
    with torch.no_grad():  # to a state whose layer normalisation isn't one of zeros
        _, state = unroll(cell, inputs, cell.initial_state(B), "eager")
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=is_half):
        first, state = unroll(cell, inputs, state, backend)
        second, state = unroll(cell, inputs, state, backend, begins_TB)
    sum((x.float().square().sum() for x in (first, second, *state)), torch.zeros(())).backward()
    gradients = [parameter.grad for parameter in cell.parameters() if parameter.grad is not None]
    return [first, second, *state, *gradients]


@on_each_device
@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_bfloat16_gives_what_float32_gives_up_to_its_rounding(
    name: str, backend: str, device: str
) -> None:
    cell = draw(name).to(device)
    begins_TB = torch.rand(T, B, device=device) < 0.2
    for inputs in (torch.randint(I, (T, B)), torch.randn(T, B, I)):
        for begins in (None, begins_TB):
            half = two_windows(cell, inputs.to(device), backend, begins, True)
            single = two_windows(cell, inputs.to(device), backend, begins, False)
            assert [x.shape for x in half] == [x.shape for x in single]
            assert max(map(error, half, single)) < TOLERANCES.get(name, 0.02)
            # Of ids a cell without W_hh makes no product.
            is_same = all(torch.equal(x, y) for x, y in zip(half, single, strict=True))
            assert is_same == (inputs.dim() == 2 and name in ("min_gru", "min_lstm"))


@pytest.mark.parametrize("name", CELLS)
def test_only_what_a_weight_multiplies_is_bfloat16(name: str) -> None:
    cell = draw(name)
    hidden = torch.bfloat16 if cell.has_weight_hh else torch.float32
    for backend in (*LSTM_WAYS, "auto") if name == "lstm" else ("eager", "auto"):
        with torch.autocast("cpu", torch.bfloat16):
            outputs, state = unroll(cell, torch.randn(T, B, I), cell.initial_state(B), backend)
        assert outputs.dtype == hidden
        assert [part.dtype for part in state] == [hidden] + [torch.float32] * (len(state) - 1)
        outputs.sum().backward()
        assert all(p.grad is None or p.grad.dtype == torch.float32 for p in cell.parameters())


@pytest.mark.parametrize("backend", [*LSTM_WAYS, "auto"])
def test_the_lstm_s_memory_gathers_small_steps(backend: str) -> None:
    cell = LSTM(1, 2)
    with torch.no_grad():
        for parameter, value in zip(cell.bias.chunk(4), (20, 20, 1e-3, 20), strict=True):
            parameter.fill_(value)  # i = f = 1, g = 0.001
        cell.weight_ih.zero_()
        cell.weight_hh.zero_()
    with torch.autocast("cpu", torch.bfloat16):
        ids_TB = torch.zeros(1000, 1, dtype=torch.long)
        _, (_, memory_BH) = unroll(cell, ids_TB, cell.initial_state(1), backend)
    torch.testing.assert_close(memory_BH, torch.ones(1, 2), rtol=2e-3, atol=0)


@pytest.mark.parametrize("backend", ["eager", "scan"])
def test_the_minimal_gru_s_state_forgets_slowly(backend: str) -> None:
    cell = MinGRU(1, 2)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.bias.copy_(torch.tensor([-7.0, -7.0, 0.0, 0.0]))  # z = 0.0009, n = 0
    with torch.autocast("cpu", torch.bfloat16):
        ids_TB = torch.zeros(1000, 1, dtype=torch.long)
        _, (h_BH,) = unroll(cell, ids_TB, (torch.ones(1, 2),), backend)
    expected = (1 - torch.tensor(-7.0, dtype=torch.float64).sigmoid()) ** 1000
    torch.testing.assert_close(h_BH.double(), expected.expand(1, 2), rtol=1e-4, atol=0)


def test_auto_takes_a_backend_that_keeps_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cell = torch.device("cpu"), LSTM(1, 1)
    assert fastest(cell, cpu) == "library"
    for keeps, backend in ((True, "library"), (False, "bptt")):
        monkeypatch.setattr(library, "keeps_memory", lambda cell, device, keeps=keeps: keeps)
        with torch.autocast("cpu", torch.bfloat16):
            assert fastest(cell, cpu) == backend
            assert fastest(cell, cpu, with_documents=True) == "bptt"


@pytest.mark.parametrize("backend", LSTM_WAYS)
def test_strides_make_no_difference(backend: str) -> None:
    cell = draw("lstm")
    inputs, state = torch.randn(B, T, I).transpose(0, 1), torch.randn(1, H).expand(B, H)
    with torch.autocast("cpu", torch.bfloat16):
        strided = unroll(cell, inputs, (state.bfloat16(), state), backend)[0]
        copied = (state.bfloat16().contiguous(), state.contiguous())
        torch.testing.assert_close(
            strided, unroll(cell, inputs.contiguous(), copied, backend)[0], rtol=0, atol=2e-2
        )


@pytest.mark.skipif(not IN_FLOAT32, reason="this processor's kernel keeps no memory in float32")
def test_the_kernel_carries_the_memory_and_its_gradient_in_float32() -> None:
    cell = draw("lstm")
    inputs, state = torch.randn(T, B, I), (torch.randn(B, H), 100 + torch.rand(B, H))
    memory_BH = state[1].requires_grad_()
    with torch.no_grad():
        cell.bias[H : 2 * H] = 100  # f = 1
        cell.bias[:H] = -100  # i = 0
    with torch.autocast("cpu", torch.bfloat16):
        _, (_, carried_BH) = unroll(cell, inputs, state, "library")
    torch.testing.assert_close(carried_BH, memory_BH, rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(carried_BH.sum(), memory_BH)
    torch.testing.assert_close(gradient, torch.ones(B, H), rtol=1e-6, atol=0)
