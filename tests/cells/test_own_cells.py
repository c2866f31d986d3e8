"""Cells of one's own: found, named, given options; and what a version up to 0.1 said of its cells."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from charlm.cells import GRU, LSTM, RNN, Cell, State
from charlm.cells.naming import find, name_of
from charlm.cells.options import as_names, complete, modernised, options_of
from charlm.cells.torch_nn import to_torch
from charlm.errors import UserError
from charlm.generation.step import Stepper
from charlm.model import CharLM


class Doubled(RNN):  # type: ignore[misc]
    """A learner's variant: twice the RNN's state."""

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        return tuple(2 * part for part in super().step(preactivation_BG, state))


class Leaky(Cell):
    """h' = k h + (1 - k) tanh(W_ih x + b + W_hh h)."""

    num_gates = 1

    def __init__(self, input_size: int, hidden_size: int, keep: float, wide: bool = False) -> None:
        super().__init__(input_size, hidden_size)
        self.keep = keep

    def step(self, preactivation_BG: Tensor, state: State) -> State:
        (h,) = state
        new = torch.tanh(torch.addmm(preactivation_BG, h, self.weight_hh.t()))
        return (self.keep * h + (1 - self.keep) * new,)


def doubled() -> tuple[CharLM, CharLM]:
    """The RNN, and the variant with the same weights."""
    torch.manual_seed(0)
    plain = CharLM(10, [8], initialisation="uniform")
    own = CharLM(10, [8], Doubled)
    own.load_state_dict(plain.state_dict())
    return plain, own


def test_a_subclass_never_inherits_a_fast_way() -> None:
    plain, own = doubled()
    ids_TB = torch.randint(10, (5, 2))
    own.backend = "eager"
    expected, _ = own(ids_TB)
    assert (expected - plain(ids_TB)[0]).abs().max() > 0.1
    own.backend = "auto"
    assert torch.equal(own(ids_TB)[0], expected)
    for backend in ("bptt", "library"):
        own.backend = backend
        with pytest.raises(UserError) as refusal:
            own(ids_TB)
        assert str(refusal.value) == (
            f"The backend {backend} can't run the cell Doubled(10, 8, nonlinearity=tanh): choose "
            "backend: auto or eager."
        )
    with pytest.raises(UserError, match=r"torch\.nn has no Doubled: only RNN, GRU and LSTM"):
        to_torch(own.cells)
    # Neither when it is generated, and each lane is as it would be alone.
    stepper = Stepper(own)
    state = stepper.initial_state(2)
    for ids_B in ids_TB.numpy():
        state = stepper.step(ids_B, state)
    logits_BV = torch.as_tensor(stepper.logits(state))
    torch.testing.assert_close(logits_BV[:, 1:], expected[-1, :, 1:], rtol=1e-5, atol=1e-6)
    for lane in range(2):
        alone = stepper.read(ids_TB[:, lane].tolist(), stepper.initial_state(1))
        assert (alone[0][0][0] == state[0][0][lane]).all()


@pytest.mark.parametrize("cell", ["rnn", "charlm.cells.RNN", RNN])
def test_a_cell_is_found_by_name_by_path_and_by_itself(cell: Any) -> None:
    assert find(cell) is RNN
    assert name_of(cell) == "rnn"
    model = CharLM(5, [4, 3], [cell, Doubled])
    assert [type(layer) for layer in model.cells] == [RNN, Doubled]


def test_the_path_of_a_class_finds_it_again() -> None:
    assert find(name_of(Leaky)) is Leaky

    class Hidden(Leaky):
        pass

    with pytest.raises(UserError, match="is made inside a function, where a checkpoint can't"):
        name_of(Hidden)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("lsm", "Unknown cell 'lsm': choose one of rnn, gru, lstm"),
        ("no_such.Cell", "The cell no_such.Cell can't be imported (No module named 'no_such')"),
        ("charlm.cells.GRUU", "can't be imported (module 'charlm.cells' has no attribute 'GRUU')"),
        ("..GRU", "The cell ..GRU can't be imported"),
        ("torch.nn.GRU", "torch.nn.GRU is no cell: it must be a subclass of charlm.cells.Cell."),
        ("charlm.cells.CELLS", "is no cell"),
        (nn.GRU, "GRU is no cell"),
        ("charlm.cells.Cell", "charlm.cells.Cell is an abstract cell: it has no step."),
    ],
)
def test_what_is_no_cell_is_told_in_one_sentence(cell: Any, message: str) -> None:
    with pytest.raises(UserError) as mistake:
        CharLM(5, [4], cell)
    assert message in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_options_are_those_of_the_signature_and_go_to_the_cells_that_take_them() -> None:
    assert [list(options_of(cell)) for cell in (RNN, GRU, LSTM, Leaky)] == [
        ["nonlinearity"],
        ["reset_after"],
        ["forget_bias"],
        ["keep", "wide"],
    ]
    options = {"forget_bias": 2, "keep": 0.5}
    lstm, leaky = CharLM(5, [4, 3], ["lstm", Leaky], options).cells
    assert isinstance(leaky, Leaky)
    assert leaky.keep == 0.5
    assert (lstm.bias.chunk(4)[1] == 2).all()


@pytest.mark.parametrize(
    ("cell", "options", "message"),
    [
        (
            "gru",
            {"keep": 1},
            "No layer has a cell with the option 'keep'; their options are GRU: r",
        ),
        (Leaky, {"kep": 1}, "their options are Leaky: keep, wide."),
        (
            "gru",
            {"reset_after": "no"},
            "The option reset_after of the cell GRU is 'no': it must be",
        ),
        ("lstm", {"forget_bias": True}, "is True: it must be of type float."),
        ("rnn", {"nonlinearity": "sine"}, "Unknown nonlinearity 'sine'"),
        (Leaky, {}, "The cell Leaky can't be made with the options {}: "),
    ],
)
def test_a_wrong_option_is_told_in_one_sentence(
    cell: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as mistake:
        CharLM(5, [4], cell, options)
    assert message in str(mistake.value)


OLD = {"nonlinearity": "tanh", "reset_after": False, "forget_bias": 1.0}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"cell": "gru", **OLD}, {"cell": "gru", "cell_options": {"reset_after": False}}),
        (
            {"cell": ["rnn", "lstm"], **OLD, "dropout": 0.5},
            {
                "cell": ["rnn", "lstm"],
                "dropout": 0.5,
                "cell_options": {"nonlinearity": "tanh", "forget_bias": 1.0},
            },
        ),
        # A file that leaves the cell to another, or to the command line.
        ({"reset_after": False}, {"cell_options": {"reset_after": False}}),
        ({"cell": "rnn", "reset_after": False}, {"cell": "rnn"}),
        ({"cell": "gru", "cell_options": None}, {"cell": "gru", "cell_options": None}),
    ],
)
def test_options_of_the_last_version_are_read(
    options: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert modernised(options) == expected
    assert modernised(expected) == expected


def test_models_are_compared_by_all_their_options() -> None:
    same: list[dict[str, Any]] = [
        {"cell": "gru"},
        {"cell": GRU, "cell_options": {}},
        {"cell": "charlm.cells.GRU", "reset_after": True},
        {"cell": "gru", "cell_options": {"reset_after": True}},
    ]
    assert all(complete(options) == complete(same[0]) for options in same)
    assert complete({"cell": "gru", "reset_after": False}) != complete(same[0])
    assert as_names({"cell": [GRU, Leaky]})["cell"] == ["gru", f"{__name__}.Leaky"]
