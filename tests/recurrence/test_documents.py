"""Documents that begin inside a window: each is as if it stood alone, in every backend.

T time steps · B lanes · H hidden size
"""

import pytest
import torch
from helpers.unrolling import Sizes, cells_and_backends, draw, draw_inputs, draw_state, error
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from charlm.cells import LSTM, Cell, State
from charlm.model import CharLM
from charlm.recurrence import fastest, unroll


def gradients(
    cell: Cell, inputs: Tensor, state: State, outputs: Tensor, final: State
) -> list[Tensor | None]:
    """By everything that was given, of a loss that sees outputs and final state."""
    torch.manual_seed(0)
    results = (outputs, *final)
    loss = torch.stack([(part * torch.randn_like(part)).sum() for part in results]).sum()
    given_ = [inputs, *state, *cell.parameters()]
    return list(torch.autograd.grad(loss, given_, allow_unused=True))


def one_document_at_a_time(
    cell: Cell, inputs: Tensor, state: State, begins_TB: Tensor
) -> tuple[Tensor, State]:
    """Lane by lane and document by document, by the eager loop without beginnings."""
    T, B = begins_TB.shape
    outputs, finals = [], []
    for lane in range(B):
        lane_state = tuple(part[lane : lane + 1] for part in state)
        parts = []
        starts = sorted({0, *begins_TB[:, lane].nonzero().flatten().tolist()})
        for start, end in zip(starts, [*starts[1:], T], strict=True):
            if begins_TB[start, lane]:
                lane_state = cell.initial_state(1)
            part, lane_state = unroll(cell, inputs[start:end, lane : lane + 1], lane_state, "eager")
            parts.append(part)
        outputs.append(torch.cat(parts))
        finals.append(lane_state)
    return torch.cat(outputs, 1), tuple(torch.cat(parts) for parts in zip(*finals, strict=True))


@settings(max_examples=12)
@example(T=1, B=1, share=1.0, seed=0)
@example(T=5, B=3, share=1.0, seed=0)
@example(T=5, B=3, share=0.0, seed=0)
@given(T=st.integers(1, 6), B=st.integers(1, 3), share=st.floats(0, 1), seed=st.integers(0, 2**32))
@cells_and_backends
def test_each_document_is_as_if_it_stood_alone(
    name: str, backend: str, T: int, B: int, share: float, seed: int
) -> None:
    sizes = Sizes(T=T, B=B)
    cell = draw(name, sizes, seed=seed)
    inputs = draw_inputs("vectors", sizes).requires_grad_()
    state = tuple(part.requires_grad_() for part in draw_state(cell, B))
    begins_TB = torch.rand(T, B) < share

    expected, expected_final = one_document_at_a_time(cell, inputs, state, begins_TB)
    outputs, final = unroll(cell, inputs, state, backend, begins_TB)
    assert error(outputs, expected) < 1e-10
    for mine, his in zip(final, expected_final, strict=True):
        assert error(mine, his) < 1e-10
    for mine, his in zip(
        gradients(cell, inputs, state, outputs, final),
        gradients(cell, inputs, state, expected, expected_final),
        strict=True,
    ):
        if his is None or not his.any():
            assert mine is None or not mine.any()
        else:
            assert error(mine, his) < 1e-10


@cells_and_backends
def test_without_a_beginning_not_one_bit_changes(name: str, backend: str) -> None:
    sizes = Sizes(T=4, B=33, H=192)
    cell = draw(name, sizes, torch.float32)
    ids, state = draw_inputs("ids", sizes), draw_state(cell, sizes.B)
    nowhere_TB = torch.zeros(4, 33, dtype=torch.bool)
    if backend == "auto":  # it may take another where documents begin
        backend = fastest(cell, ids.device, with_documents=True)
    plain, plain_final = unroll(cell, ids, state, backend)
    outputs, final = unroll(cell, ids, state, backend, nowhere_TB)
    assert torch.equal(outputs, plain)
    assert all(map(torch.equal, final, plain_final))


@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_every_layer_of_a_model_begins_anew(backend: str) -> None:
    torch.manual_seed(0)
    model = CharLM(7, (5, 4), ("lstm", "gru"), initialisation="uniform", backend=backend).double()
    ids_TB = torch.randint(7, (6, 2))
    begins_TB = torch.zeros(6, 2, dtype=torch.bool)
    begins_TB[3, 1] = True
    _, state = model(torch.randint(7, (3, 2)))
    logits_TBV, final = model(ids_TB, state, begins_TB)
    plain_TBV, plain_final = model(ids_TB, state)
    alone_TBV, alone_final = model(ids_TB[3:])
    assert error(logits_TBV[:, 0], plain_TBV[:, 0]) < 1e-12
    assert error(logits_TBV[:3], plain_TBV[:3]) < 1e-12
    assert error(logits_TBV[3:, 1], alone_TBV[:, 1]) < 1e-12
    for mine, plain, alone in zip(final, plain_final, alone_final, strict=True):
        assert error(mine[0], torch.stack([plain[0][0], alone[0][1]])) < 1e-12


@pytest.mark.parametrize(
    "begins",
    [
        torch.zeros(4, 2, dtype=torch.bool),
        torch.zeros(5, dtype=torch.bool),
        torch.zeros(5, 3, dtype=torch.long),
    ],
)
def test_beginnings_of_another_shape_or_type_are_refused(begins: Tensor) -> None:
    cell = LSTM(4, 6)
    with pytest.raises(ValueError, match=r"don't fit inputs of 5 steps and 3 lanes"):
        unroll(cell, draw_inputs("ids", Sizes()), cell.initial_state(3), "auto", begins)
