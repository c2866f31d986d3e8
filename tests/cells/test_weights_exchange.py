"""Weights to and from torch.nn: the same function after each way.

T time steps · B lanes · I input size · H hidden size
"""
# ruff: noqa: E741 - I is the input size.

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from charlm.cells import CELLS, GRU, LSTM, RNN, Cell, initialise
from charlm.cells.torch_nn import from_torch, to_torch
from charlm.errors import UserError
from charlm.recurrence import unroll

MODULES: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def stack(name: str, I: int, H: int, num_layers: int) -> list[Cell]:
    cells = [CELLS[name](I if layer == 0 else H, H).double() for layer in range(num_layers)]
    for cell in cells:
        initialise(cell, "uniform")
    return cells


def run(cells: list[Cell], x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The last layer's outputs, and the final states part by part, [layers, B, H] each."""
    finals = []
    for cell in cells:
        x, final = unroll(cell, x, cell.initial_state(x.shape[1]), "eager")
        finals.append(final)
    return x, [torch.stack(parts) for parts in zip(*finals, strict=True)]


def assert_same(cells: list[Cell], module: nn.RNNBase) -> None:
    x = torch.randn(6, 3, cells[0].input_size, dtype=torch.float64)
    outputs, finals = run(cells, x)
    expected, expected_finals = module(x)
    if not isinstance(expected_finals, tuple):
        expected_finals = (expected_finals,)
    for ours, theirs in zip([outputs, *finals], [expected, *expected_finals], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


sizes = st.integers(1, 5)


@settings(max_examples=20)
@given(I=sizes, H=sizes, num_layers=st.integers(1, 3), bias=st.booleans(), seed=st.integers(0, 99))
@pytest.mark.parametrize("name", MODULES)
def test_from_torch(name: str, I: int, H: int, num_layers: int, bias: bool, seed: int) -> None:
    torch.manual_seed(seed)
    module = MODULES[name](I, H, num_layers, bias=bias).double()
    cells = stack(name, I, H, num_layers)
    from_torch(cells, module.state_dict())
    assert_same(cells, module)


@settings(max_examples=20)
@given(I=sizes, H=sizes, num_layers=st.integers(1, 3), seed=st.integers(0, 99))
@pytest.mark.parametrize("name", MODULES)
def test_to_torch_and_back(name: str, I: int, H: int, num_layers: int, seed: int) -> None:
    torch.manual_seed(seed)
    cells = stack(name, I, H, num_layers)
    module = MODULES[name](I, H, num_layers).double()
    module.load_state_dict(to_torch(cells))
    assert_same(cells, module)

    others = stack(name, I, H, num_layers)
    from_torch(others, module.state_dict())
    for cell, other in zip(cells, others, strict=True):
        for (key, ours), theirs in zip(cell.state_dict().items(), other.parameters(), strict=True):
            assert torch.equal(ours, theirs), key


def test_relu_too() -> None:
    torch.manual_seed(0)
    module = nn.RNN(3, 4, nonlinearity="relu").double()
    cell = RNN(3, 4, "relu").double()
    from_torch([cell], module.state_dict())
    assert_same([cell], module)


def test_the_biases_are_folded_but_for_the_gru_s() -> None:
    module, cell = nn.GRU(3, 4), GRU(3, 4)
    from_torch([cell], module.state_dict())
    both = module.bias_ih_l0 + module.bias_hh_l0
    torch.testing.assert_close(cell.bias[:8], both[:8])
    assert torch.equal(cell.bias[8:], module.bias_ih_l0[8:])
    assert cell.bias_hn is not None
    assert torch.equal(cell.bias_hn, module.bias_hh_l0[8:])


def test_what_goes_out_is_a_copy() -> None:
    (cell,) = cells = stack("lstm", 3, 4, 1)
    state_dict = to_torch(cells)
    before = cell.weight_hh.detach().clone()
    for tensor in state_dict.values():
        assert not tensor.requires_grad
        tensor.zero_()
    assert torch.equal(cell.weight_hh, before)


@pytest.mark.parametrize(
    ("cells", "module", "message"),
    [
        ([], nn.RNN(3, 4), "at least one, not none"),
        ([RNN(3, 4), RNN(4, 5)], nn.RNN(3, 4, 2), "of one kind and hidden size only"),
        ([RNN(3, 4), GRU(4, 4)], nn.RNN(3, 4, 2), "not RNN 4, GRU 4"),
        ([GRU(3, 4, reset_after=False)], nn.GRU(3, 4), "torch.nn has no GRU with reset_after"),
        ([RNN(3, 4)], nn.RNN(3, 4, 2), "differ in bias_hh_l1, bias_ih_l1, weight_hh_l1"),
        ([RNN(3, 4), RNN(4, 4)], nn.RNN(3, 4), "differ in bias_hh_l1"),
        ([RNN(3, 4)], nn.RNN(3, 4, bidirectional=True), "differ in bias_hh_l0_reverse"),
        ([LSTM(3, 4)], nn.LSTM(3, 4, proj_size=2), "differ in weight_hr_l0"),
        ([RNN(3, 4)], nn.RNN(2, 4), "weight_ih_l0 of the state dict is [4, 2] and must be [4, 3]"),
        ([LSTM(3, 4)], nn.GRU(3, 4), "weight_ih_l0 of the state dict is [12, 3] and must be [16"),
    ],
)
def test_what_cannot_be_exchanged_is_said_and_changes_nothing(
    cells: list[Cell], module: nn.RNNBase, message: str
) -> None:
    for cell in cells:
        initialise(cell)
    before = [parameter.clone() for cell in cells for parameter in cell.parameters()]
    with pytest.raises(UserError) as mistake:
        from_torch(cells, module.state_dict())
    assert message in str(mistake.value)
    after = [parameter for cell in cells for parameter in cell.parameters()]
    assert all(map(torch.equal, before, after))
