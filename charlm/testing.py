"""The laws that every cell of charlm is held to, for the tests of a cell of one's own.

    T time steps · B lanes · I input size · H hidden size · V vocabulary

>>> from charlm.cells import GRU
>>> from charlm.testing import check_cell
>>> check_cell(GRU)
>>> check_cell(GRU, reset_after=False)
"""
# ruff: noqa: E741 - I is the input size.

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.cells import Cell, State, initialise
from charlm.cells.naming import find, name_of
from charlm.cells.options import build
from charlm.checkpoint import load
from charlm.generation.step import Stepper
from charlm.model import CharLM
from charlm.recurrence import BACKENDS, unroll
from charlm.text.vocabulary import Vocabulary

T, B, I, H = 5, 3, 4, 6
TOLERANCE = 1e-9  # of float64, relative
LETTERS = Vocabulary("abc")


def check_cell(cell: str | type[Cell], **options: Any) -> None:
    """Hold a cell to its laws, in float64, on the CPU; it takes about a second.

    - its shapes are those it says; a symbol's id gives what its one-hot vector gives;
    - a character changes nothing before it, and nothing in another lane, but something after;
    - a text in two pieces, with the state carried, gives what it gives in one piece;
    - a document that begins inside a window is as if it stood alone;
    - autograd's gradients of the eager loop are the slopes;
    - every backend that serves the cell gives eager's outputs, state and gradients, and overwrites
      nothing that was given to it;
    - generation steps as the model does, each lane as if it were alone;
    - a checkpoint that names the cell gives the same model again.

    Args:
        cell: a name, a class path or a class (``charlm.cells.naming``).
        **options: of the cell.

    Raises:
        AssertionError: a law is broken; the message says which.
        UserError: there is no such cell or option.
    """
    torch.manual_seed(0)
    made = _draw(cell, options)
    ids_TB, vectors_TBI = torch.randint(I, (T, B)), torch.randn(T, B, I, dtype=torch.float64)
    _check_shapes(made, ids_TB)
    state = _draw_state(made)
    _check_causality(made, ids_TB, state)
    _check_pieces(made, vectors_TBI, state)
    _check_documents(made, vectors_TBI, state)
    _check_gradients(made, vectors_TBI, state)
    _check_backends(made, ids_TB, vectors_TBI, state)
    _check_generation(cell, options)
    _check_checkpoint(cell, options)


def _draw(cell: str | type[Cell], options: dict[str, Any]) -> Cell:
    (made,) = build([cell], [I, H], options)
    initialise(made, "uniform")
    return made.double()


def _draw_state(cell: Cell, num_lanes: int = B) -> State:
    """A state that the cell comes to, after a few random characters."""
    return _detached(
        unroll(cell, torch.randint(I, (3, num_lanes)), cell.initial_state(num_lanes), "eager")[1]
    )


def _detached(state: State) -> State:
    return tuple(part.detach() for part in state)


def _assert_close(actual: Sequence[Tensor], expected: Sequence[Tensor], law: str) -> None:
    for mine, his in zip(actual, expected, strict=True):
        assert mine.shape == his.shape, f"{law}: {tuple(mine.shape)} instead of {tuple(his.shape)}"
        largest = (mine - his).abs().max().item()
        scale = max(1.0, his.abs().max().item())
        assert largest <= TOLERANCE * scale, f"{law}: they differ by {largest:.2g}"


def _check_shapes(cell: Cell, ids_TB: Tensor) -> None:
    name = type(cell).__name__
    initial = cell.initial_state(B)
    assert len(initial) == len(cell.state_names), f"{name}.state_names must name each part"
    state = cell.step(cell.project(ids_TB[0]), initial)
    assert len(state) == len(initial), f"{name}.step must give as many parts as it was given"
    for part, start in zip(state, initial, strict=True):
        assert part.shape == start.shape == (B, H), f"{name}.step: every part must be [B, H]"
    one_hot = F.one_hot(ids_TB, I).double()
    law = f"{name}.project: an id must give what its one-hot vector gives"
    _assert_close([cell.project(ids_TB)], [cell.project(one_hot)], law)
    _assert_close([cell.project(ids_TB[:1])], [cell.project(one_hot)[:1]], law)


def _check_causality(cell: Cell, ids_TB: Tensor, state: State) -> None:
    name, (t, lane) = type(cell).__name__, (2, 1)
    changed_TB = ids_TB.clone()
    changed_TB[t, lane] = (ids_TB[t, lane] + 1) % I
    before, after = (unroll(cell, x, state, "eager")[0] for x in (ids_TB, changed_TB))
    same_TB = (before == after).all(dim=2)
    assert same_TB[:t].all(), f"{name}: a character changes what is before it"
    others = [other for other in range(B) if other != lane]
    assert same_TB[:, others].all(), f"{name}: a character changes another lane"
    assert not same_TB[t:, lane].all(), f"{name}: a character changes nothing after it"


def _results(
    cell: Cell, inputs: Tensor, state: State, backend: str, begins_TB: Tensor | None = None
) -> list[Tensor]:
    """Outputs, final state, and the gradients of a loss that sees both by all that was given."""
    state = tuple(part.clone().requires_grad_() for part in state)
    given = [*state, *cell.parameters()]
    if inputs.dtype != torch.long:
        inputs = inputs.clone().requires_grad_()
        given.append(inputs)
    copies = [tensor.detach().clone() for tensor in (inputs, *given)]
    outputs, final = unroll(cell, inputs, state, backend, begins_TB)
    gradients = torch.autograd.grad(
        _loss(outputs, final), given, allow_unused=True, materialize_grads=True
    )
    for now, copy in zip((inputs, *given), copies, strict=True):
        assert torch.equal(now, copy), f"{backend} overwrites what it was given"
    return [outputs.detach(), *_detached(final), *gradients]


def _loss(outputs: Tensor, final: State) -> Tensor:
    parts = [(part * torch.linspace(-1, 2, part.numel()).view_as(part)) for part in final]
    weights = torch.linspace(1, -2, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
    return (outputs * weights).sum() + torch.stack([part.sum() for part in parts]).sum()


def _check_pieces(cell: Cell, vectors_TBI: Tensor, state: State) -> None:
    law = f"{type(cell).__name__}: a text in two pieces must give what it gives in one"
    whole, final = unroll(cell, vectors_TBI, state, "eager")
    first, between = unroll(cell, vectors_TBI[:2], state, "eager")
    second, end = unroll(cell, vectors_TBI[2:], between, "eager")
    _assert_close([torch.cat([first, second]), *end], [whole, *final], law)
    expected = torch.autograd.grad(_loss(whole, final), list(cell.parameters()))
    actual = torch.autograd.grad(_loss(torch.cat([first, second]), end), list(cell.parameters()))
    _assert_close(actual, expected, law)


def _check_documents(cell: Cell, vectors_TBI: Tensor, state: State) -> None:
    law = f"{type(cell).__name__}: a document that begins in a window must be as if it stood alone"
    begins_TB = torch.zeros(T, B, dtype=torch.bool)
    begins_TB[3, 1] = True
    outputs, final = unroll(cell, vectors_TBI, state, "eager", begins_TB)
    alone, alone_final = unroll(cell, vectors_TBI[3:], cell.initial_state(B), "eager")
    plain, plain_final = unroll(cell, vectors_TBI, state, "eager")
    _assert_close([outputs[3:, 1]], [alone[:, 1]], law)
    _assert_close([outputs[:3], outputs[:, [0, 2]]], [plain[:3], plain[:, [0, 2]]], law)
    for part, begun, carried in zip(final, alone_final, plain_final, strict=True):
        _assert_close([part[1], part[[0, 2]]], [begun[1], carried[[0, 2]]], law)


def _check_gradients(cell: Cell, vectors_TBI: Tensor, state: State) -> None:
    inputs = vectors_TBI[:3, :2].clone().requires_grad_()
    state = tuple(part[:2].clone().requires_grad_() for part in state)

    def everything(*_: Tensor) -> tuple[Tensor, ...]:
        outputs, final = unroll(cell, inputs, state, "eager")
        return outputs, *final

    given = (inputs, *state, *cell.parameters())
    assert torch.autograd.gradcheck(everything, given, raise_exception=False), (
        f"{type(cell).__name__}.step: autograd's gradient isn't the slope"
    )


def _check_backends(cell: Cell, ids_TB: Tensor, vectors_TBI: Tensor, state: State) -> None:
    begins_TB = torch.rand(T, B) < 0.3
    for name, backend in BACKENDS.items():
        if not backend.serves(cell):
            continue
        law = f"{type(cell).__name__}: the backend {name} must give what eager gives"
        for inputs in (ids_TB, vectors_TBI, ids_TB[:1], vectors_TBI[:1], vectors_TBI[:, :1]):
            here = tuple(part[: inputs.shape[1]] for part in state)
            expected = _results(cell, inputs, here, "eager")
            _assert_close(_results(cell, inputs, here, name), expected, law)
            begins = begins_TB[: len(inputs), : inputs.shape[1]]
            expected = _results(cell, inputs, here, "eager", begins)
            actual = _results(cell, inputs, here, name, begins)
            _assert_close(actual, expected, f"{law}, with documents")


@torch.no_grad()
def _check_generation(cell: str | type[Cell], options: dict[str, Any]) -> None:
    name = find(cell).__name__
    law = f"{name}: generation must step as the model does"
    for sizes in ([H], [H, H]):  # the cell as the last layer, and as one below
        model = CharLM(
            len(LETTERS), sizes, cell, options, initialisation="uniform", backend="eager"
        ).double()
        ids_TB = torch.randint(1, len(LETTERS), (T, B))
        logits_TBV, _ = model(ids_TB)
        stepper = Stepper(model)
        state = stepper.initial_state(B)
        for ids_B, logits_BV in zip(ids_TB.numpy(), logits_TBV, strict=True):
            state = stepper.step(ids_B, state)
            stepped_BV = torch.as_tensor(stepper.logits(state))
            _assert_close([stepped_BV[:, 1:]], [logits_BV[:, 1:]], law)
        for lane in range(B):
            alone = stepper.read(ids_TB[:, lane].tolist(), stepper.initial_state(1))
            assert (stepper.logits(alone)[0] == stepper.logits(state)[lane]).all(), (
                f"{name}: a lane must be generated as if it were alone, to the last bit"
            )


@torch.no_grad()
def _check_checkpoint(cell: str | type[Cell], options: dict[str, Any]) -> None:
    hyper_parameters = {
        "vocabulary": LETTERS.config,
        "hidden_sizes": [H],
        "cell": name_of(cell),
        "cell_options": options,
    }
    model = CharLM(len(LETTERS), [H], cell, options, initialisation="uniform").eval()
    weights = {f"model.{name}": weight for name, weight in model.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.ckpt"
        torch.save({"state_dict": weights, "hyper_parameters": hyper_parameters}, path)
        again = load(path).model
    ids_TB = torch.randint(len(LETTERS), (T, B))
    assert torch.equal(model(ids_TB)[0], again(ids_TB)[0]), (
        f"{find(cell).__name__}: a checkpoint must give the same model again"
    )
