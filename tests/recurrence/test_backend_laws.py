"""What a backend may not do, and what it refuses."""

import pytest
import torch
from helpers.unrolling import (
    CELLS,
    Sizes,
    cells_and_backends,
    draw,
    draw_inputs,
    draw_state,
    error,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from charlm import recurrence
from charlm.cells import GRU, Cell, State
from charlm.errors import UserError
from charlm.model import CharLM
from charlm.recurrence import unroll


@settings(max_examples=10)
@given(t=st.integers(0, 6), lane=st.integers(0, 2), seed=st.integers(0, 2**32))
@cells_and_backends
def test_a_character_changes_nothing_before_it_and_in_no_other_lane(
    name: str, backend: str, t: int, lane: int, seed: int
) -> None:
    sizes = Sizes(T=7)
    cell = draw(name, sizes, torch.float32, seed)
    ids = draw_inputs("ids", sizes)
    changed = ids.clone()
    changed[t, lane] = (ids[t, lane] + 1) % sizes.I
    state = draw_state(cell, sizes.B)
    before, after = (unroll(cell, x, state, backend)[0] for x in (ids, changed))
    same = (before == after).all(dim=2)
    assert same[:t].all()
    assert same[:, [other for other in range(sizes.B) if other != lane]].all()
    # A dead relu alone hides a character.
    assert name == "RNN relu" or not same[t, lane]


@pytest.mark.gpu
@cells_and_backends
def test_a_character_changes_nothing_before_it_on_a_gpu(name: str, backend: str) -> None:
    cell = draw(name, Sizes()).cuda()
    ids, state = draw_inputs("ids", Sizes()).cuda(), cell.initial_state(3)
    changed = ids.clone()
    changed[3] = (ids[3] + 1) % 4
    before, after = (unroll(cell, x, state, backend)[0] for x in (ids, changed))
    assert error(after[:3], before[:3]) < 1e-12
    assert error(after[3], before[3]) > 1e-3


@cells_and_backends
def test_nothing_that_was_given_is_overwritten(name: str, backend: str) -> None:
    sizes = Sizes()
    cell, inputs = draw(name, sizes), draw_inputs("vectors", sizes).requires_grad_()
    state = tuple(part.requires_grad_() for part in draw_state(cell, sizes.B))
    given_ = [inputs, *state, *cell.parameters()]
    copies = [tensor.detach().clone() for tensor in given_]
    outputs, final = unroll(cell, inputs, state, backend)
    d_outputs, *d_final = upstream = [torch.randn_like(part) for part in (outputs, *final)]
    upstream_copies = [part.clone() for part in upstream]

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            (outputs, *final), given_, (d_outputs, *d_final), retain_graph=True
        )

    for once, twice in zip(gradients(), gradients(), strict=True):
        assert torch.equal(once, twice)
    for now, copy in zip([*given_, *upstream], [*copies, *upstream_copies], strict=True):
        assert torch.equal(now, copy)
    # The final state stands by itself: to carry it isn't to keep a window's outputs.
    assert all(part.untyped_storage().nbytes() == part.numel() * 8 for part in final)


@cells_and_backends
def test_outputs_alone_or_the_final_state_alone_give_their_gradients(
    name: str, backend: str
) -> None:
    sizes = Sizes()
    cell, ids = draw(name, sizes), draw_inputs("ids", sizes)
    for choose in (
        lambda outputs, final: (outputs.sum(),),
        lambda outputs, final: (outputs[2].sum(),),
        lambda outputs, final: (final[-1].sum(),),
    ):
        gradients = [
            torch.autograd.grad(
                choose(*unroll(cell, ids, cell.initial_state(sizes.B), chosen)),
                list(cell.parameters()),
            )
            for chosen in (backend, "eager")
        ]
        for mine, his in zip(*gradients, strict=True):
            assert error(mine, his) < 1e-10


@cells_and_backends
def test_a_frozen_parameter_gets_no_gradient_and_the_others_theirs(name: str, backend: str) -> None:
    sizes = Sizes()
    for frozen in ("weight_ih", "weight_hh", "bias"):
        gradients = []
        for chosen in (backend, "eager"):
            cell = draw(name, sizes)
            cell.get_parameter(frozen).requires_grad_(False)
            ids = draw_inputs("ids", sizes)
            outputs, _ = unroll(cell, ids, cell.initial_state(sizes.B), chosen)
            outputs.square().sum().backward()
            gradients.append({n: p.grad for n, p in cell.named_parameters()})
        mine, his = gradients
        assert mine.pop(frozen) is None
        assert his.pop(frozen) is None
        for parameter_name, gradient in his.items():
            assert gradient is not None
            assert error(mine[parameter_name], gradient) < 1e-10


@cells_and_backends
def test_without_gradients_the_outputs_are_the_same(name: str, backend: str) -> None:
    sizes = Sizes(T=4, B=33, H=192)
    cell = draw(name, sizes, torch.float32)
    ids, state = draw_inputs("ids", sizes), draw_state(cell, sizes.B)
    expected, expected_state = unroll(cell, ids, state, backend)
    with torch.inference_mode():
        outputs, final = unroll(cell, ids, state, backend)
        assert error(outputs, expected) < 1e-6
        for mine, his in zip(final, expected_state, strict=True):
            assert error(mine, his) < 1e-6


@pytest.mark.parametrize("name", CELLS)
def test_bptt_is_differentiable_once(name: str) -> None:
    cell = draw(name, Sizes())
    outputs, _ = unroll(cell, draw_inputs("ids", Sizes()), cell.initial_state(3), "bptt")
    (gradient,) = torch.autograd.grad(outputs.square().sum(), cell.weight_hh, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


class Exotic(Cell):
    """A cell of one's own: h' = W_ih x + b + h."""

    num_gates = 1

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        return (preactivation_BG + state[0],)


@pytest.mark.parametrize(
    ("cell", "backend", "sentence"),
    [
        (
            GRU(4, 6, reset_after=False),
            "library",
            "The backend library can't run the cell GRU(4, 6, reset_after=False): choose backend: "
            "auto or eager or bptt.",
        ),
        (
            Exotic(4, 6),
            "library",
            "The backend library can't run the cell Exotic(4, 6): choose backend: auto or eager.",
        ),
        (
            Exotic(4, 6),
            "bptt",
            "The backend bptt can't run the cell Exotic(4, 6): choose backend: auto or eager.",
        ),
    ],
)
def test_a_backend_refuses_by_name_what_it_cannot_serve(
    cell: Cell, backend: str, sentence: str
) -> None:
    with pytest.raises(UserError) as refusal:
        unroll(cell, draw_inputs("ids", Sizes()), cell.initial_state(3), backend)
    assert str(refusal.value) == sentence


def test_a_model_refuses_an_unknown_backend_at_once() -> None:
    sentence = "Unknown backend 'fast': choose one of auto, eager, bptt, library, scan."
    with pytest.raises(UserError) as refusal:
        CharLM(5, backend="fast")
    assert str(refusal.value) == sentence
    model = CharLM(5, (3,), backend="bptt")
    with pytest.raises(UserError) as refusal:
        model.backend = "fast"
    assert str(refusal.value) == sentence
    assert model.backend == "bptt"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_auto_serves_every_cell(device: str) -> None:
    chosen = {name: recurrence.fastest(draw(name, Sizes()), torch.device(device)) for name in CELLS}
    if device == "cpu":
        assert chosen == {name: "library" if name == "LSTM" else "bptt" for name in CELLS}
        assert recurrence.fastest(draw("LSTM", Sizes()), torch.device(device), True) == "bptt"
    else:
        assert chosen == {
            name: "bptt" if name == "GRU reset before" else "library" for name in CELLS
        }
    assert recurrence.fastest(Exotic(4, 6), torch.device(device)) == "eager"


@cells_and_backends
def test_a_state_of_another_shape_is_refused(name: str, backend: str) -> None:
    cell, ids = draw(name, Sizes()), draw_inputs("ids", Sizes())
    for B, H in ((1, 6), (3, 1), (4, 6)):
        state = tuple(torch.zeros(B, H, dtype=torch.float64) for _ in cell.state_names)
        with pytest.raises(ValueError, match="doesn't fit"):
            unroll(cell, ids, state, backend)
    with pytest.raises(ValueError, match="doesn't fit"):
        unroll(cell, ids, (*cell.initial_state(3), torch.zeros(3, 6)), backend)


def test_the_backend_may_change_in_the_midst_of_training() -> None:
    torch.manual_seed(0)
    model = CharLM(5, (6, 4), "gru", initialisation="uniform").double()
    logits = []
    for backend in ("eager", "bptt", "library", "auto"):
        model.backend = backend
        logits.append(model(torch.zeros(3, 2, dtype=torch.long))[0])
    assert all(error(other, logits[0]) < 1e-12 for other in logits[1:])
