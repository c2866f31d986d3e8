"""``check_cell``: every cell of ours passes; a cell that breaks a law is told which."""

from typing import Any

import pytest
import torch
from torch import Tensor

from charlm.cells import CELLS, Cell, State
from charlm.recurrence import bptt
from charlm.testing import check_cell


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in CELLS),
        ("rnn", {"nonlinearity": "relu"}),
        ("gru", {"reset_after": False}),
        ("lstm", {"forget_bias": 1.0}),
    ],
)
def test_every_cell_keeps_the_laws(name: str, options: dict[str, Any]) -> None:
    check_cell(name, **options)


class Leaky(Cell):
    """h' = (h + tanh(W_ih x + b + W_hh h)) / 2"""

    num_gates = 1

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        (h,) = state
        return ((h + torch.tanh(preactivation_BG + h @ self.weight_hh.t())) / 2,)


class OfAnotherShape(Leaky):
    def step(self, preactivation_BG: Tensor, state: State) -> State:
        return (super().step(preactivation_BG, state)[0][:, :1],)


class WithoutAName(Leaky):
    state_names = ("hidden", "memory")

    def initial_state(self, num_lanes: int) -> State:
        return super().initial_state(num_lanes)[:1]


class ReadsIdsOtherwise(Leaky):
    def project(self, inputs: Tensor) -> Tensor:
        return super().project(inputs) * (2 if inputs.dtype == torch.long else 1)


class MixesLanes(Leaky):
    def step(self, preactivation_BG: Tensor, state: State) -> State:
        (h,) = super().step(preactivation_BG, state)
        return (h - h.mean(dim=0),)


class ReadsNothing(Leaky):
    def step(self, preactivation_BG: Tensor, state: State) -> State:
        return super().step(0 * preactivation_BG, state)


class LooksAhead(Leaky):
    def project(self, inputs: Tensor) -> Tensor:
        x = super().project(inputs)
        return x + x.roll(-1, 0) if x.dim() == 3 else x


class Counts(Leaky):
    """Knows of time, which no cell may: of the first step that it is asked for."""

    def project(self, inputs: Tensor) -> Tensor:
        x = super().project(inputs)
        if x.dim() == 3:
            x = torch.cat([x[:1] + 1, x[1:]])
        return x


class ForgetsTheGradient(Leaky):
    def step(self, preactivation_BG: Tensor, state: State) -> State:
        return (super().step(preactivation_BG, state)[0] * state[0].detach().cos(),)


class DrawsAtRandom(Leaky):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.scale = float(torch.rand(()))

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        return (self.scale * super().step(preactivation_BG, state)[0],)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (OfAnotherShape, "OfAnotherShape.step: every part must be [B, H]"),
        (WithoutAName, "WithoutAName.state_names must name each part"),
        (ReadsIdsOtherwise, "an id must give what its one-hot vector gives"),
        (MixesLanes, "MixesLanes: a character changes another lane"),
        (ReadsNothing, "ReadsNothing: a character changes nothing after it"),
        (LooksAhead, "an id must give what its one-hot vector gives"),
        (Counts, "Counts: a text in two pieces must give what it gives in one"),
        (ForgetsTheGradient, "ForgetsTheGradient.step: autograd's gradient isn't the slope"),
        (DrawsAtRandom, "DrawsAtRandom: a checkpoint must give the same model again"),
    ],
)
def test_a_broken_law_is_told(cell: type[Cell], message: str) -> None:
    with pytest.raises((AssertionError, RuntimeError)) as broken:
        check_cell(cell)
    assert message in str(broken.value)


def by_eager_steps(cell: Leaky, x_TBG: Tensor, state: State) -> tuple[Tensor, State]:
    outputs = []
    for x_BG in x_TBG:
        state = cell.step(x_BG, state)
        outputs.append(state[0])
    return torch.stack(outputs), state


def test_a_backend_that_serves_the_cell_is_held_to_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bptt.UNROLLS, Leaky, by_eager_steps)
    check_cell(Leaky)

    def wrong_gradient(cell: Leaky, x_TBG: Tensor, state: State) -> tuple[Tensor, State]:
        return by_eager_steps(cell, x_TBG, tuple(part.detach() for part in state))

    def overwrites(cell: Leaky, x_TBG: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, final = by_eager_steps(cell, x_TBG, state)
        for part in state:
            part.data.zero_()
        return outputs, final

    for unroll, message in (
        (wrong_gradient, "Leaky: the backend bptt must give what eager gives"),
        (overwrites, "bptt overwrites what it was given"),
    ):
        monkeypatch.setitem(bptt.UNROLLS, Leaky, unroll)
        with pytest.raises(AssertionError, match=message):
            check_cell(Leaky)
