"""The cells' equations, each against its own words, and their parameters.

B lanes · I input size · H hidden size
"""
# ruff: noqa: E741 - I is the input size.

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.cells import CELLS, GRU, LSTM, RNN, Cell, State, initialise
from charlm.errors import UserError
from charlm.model import CharLM

B, I, H = 3, 4, 5


def filled(cell: Cell) -> Cell:
    """The cell in float64, all its parameters standard normal."""
    torch.manual_seed(0)
    cell = cell.double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_()
    return cell


def step(cell: Cell) -> tuple[Tensor, State, State]:
    """An input [B, I], a state, and the state after."""
    x = torch.randn(B, I, dtype=torch.float64)
    state = tuple(torch.randn(B, H, dtype=torch.float64) for _ in cell.state_names)
    return x, state, cell.step(cell.project(x), state)


def assert_equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-13, atol=1e-13)


# --- Equations, lane by lane and gate by gate ----------------------------------------------------


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_the_rnn(nonlinearity: str) -> None:
    cell = filled(RNN(I, H, nonlinearity))
    x, (h,), (new_h,) = step(cell)
    activate = {"tanh": torch.tanh, "relu": lambda a: a * (a > 0)}[nonlinearity]
    for b in range(B):
        a = cell.weight_ih @ x[b] + cell.bias + cell.weight_hh @ h[b]
        assert_equal(new_h[b], activate(a))


@pytest.mark.parametrize("reset_after", [True, False])
def test_the_gru(reset_after: bool) -> None:
    cell = filled(GRU(I, H, reset_after))
    x, (h,), (new_h,) = step(cell)
    W_r, W_z, W_n = cell.weight_ih.chunk(3)
    U_r, U_z, U_n = cell.weight_hh.chunk(3)
    b_r, b_z, b_n = cell.bias.chunk(3)
    for b in range(B):
        r = torch.sigmoid(W_r @ x[b] + b_r + U_r @ h[b])
        z = torch.sigmoid(W_z @ x[b] + b_z + U_z @ h[b])
        if reset_after:
            assert cell.bias_hn is not None
            n = torch.tanh(W_n @ x[b] + b_n + r * (U_n @ h[b] + cell.bias_hn))
        else:
            n = torch.tanh(W_n @ x[b] + b_n + U_n @ (r * h[b]))
        assert_equal(new_h[b], (1 - z) * n + z * h[b])


def test_the_two_grus_are_different_functions() -> None:
    after, before = filled(GRU(I, H)), GRU(I, H, reset_after=False).double()
    with torch.no_grad():
        assert after.bias_hn is not None
        after.bias_hn.zero_()
    before.load_state_dict({k: v for k, v in after.state_dict().items() if k != "bias_hn"})
    x, state = torch.randn(B, I).double(), (torch.randn(B, H).double(),)
    (one,), (other,) = (cell.step(cell.project(x), state) for cell in (after, before))
    assert (one - other).abs().max() > 0.01


def test_the_lstm() -> None:
    cell = filled(LSTM(I, H))
    x, (h, c), (new_h, new_c) = step(cell)
    for b in range(B):
        a_i, a_f, a_g, a_o = (cell.weight_ih @ x[b] + cell.bias + cell.weight_hh @ h[b]).chunk(4)
        expected_c = torch.sigmoid(a_f) * c[b] + torch.sigmoid(a_i) * torch.tanh(a_g)
        assert_equal(new_c[b], expected_c)
        assert_equal(new_h[b], torch.sigmoid(a_o) * torch.tanh(expected_c))


@pytest.mark.parametrize("T", [1, 7])  # fewer ids than symbols, and more
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_a_symbol_is_its_one_hot_vector(name: str, T: int) -> None:
    cell = filled(CELLS[name](I, H))
    ids = torch.randint(I, (T, B))
    weights = torch.randn(T, B, len(cell.bias), dtype=torch.float64)
    gradients = []
    for inputs in (ids, F.one_hot(ids, I).double()):
        cell.zero_grad()
        projected = cell.project(inputs)
        (projected * weights).sum().backward()
        gradients.append([projected, cell.weight_ih.grad, cell.bias.grad])
    for gathered, multiplied in zip(*gradients, strict=True):
        assert gathered is not None
        assert multiplied is not None
        assert_equal(gathered, multiplied)


# --- Parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "module"),
    [(RNN(I, H), nn.RNN(I, H)), (GRU(I, H), nn.GRU(I, H)), (LSTM(I, H), nn.LSTM(I, H))],
)
def test_weights_are_named_and_laid_out_as_in_torch_nn(cell: Cell, module: nn.RNNBase) -> None:
    theirs = {name.removesuffix("_l0"): p.shape for name, p in module.named_parameters()}
    for name in ("weight_ih", "weight_hh"):
        assert cell.get_parameter(name).shape == theirs[name]
    assert cell.bias.shape == theirs["bias_ih"] == theirs["bias_hh"]


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_the_book_s_initialisation(name: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[name](64, 256)
    initialise(cell, "book")
    for parameter_name, parameter in cell.named_parameters():
        if parameter_name.startswith("bias"):
            assert not parameter.any()
        else:
            assert parameter.mean().abs() < 5e-4
            assert parameter.std().item() == pytest.approx(0.01, rel=0.02)
            # Normal, not uniform of the same deviation: that ends at 0.0173.
            assert parameter.abs().max() > 0.03


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_the_uniform_initialisation_is_torch_s(name: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[name](64, 256)
    initialise(cell, "uniform")
    bound = 256**-0.5
    for parameter in cell.parameters():
        assert parameter.abs().max() <= bound
        assert parameter.abs().max() > 0.9 * bound
        assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
        assert parameter.min() < 0 < parameter.max()


@pytest.mark.parametrize("initialisation", ["book", "uniform"])
def test_an_lstm_starts_from_its_forget_bias(initialisation: str) -> None:
    cell, plain = LSTM(I, H, forget_bias=1.0), LSTM(I, H)
    for one in (cell, plain):
        torch.manual_seed(0)
        initialise(one, initialisation)
    i, f, g, o = (cell.bias - plain.bias).chunk(4)
    torch.testing.assert_close(f, torch.ones(H))
    assert not torch.cat([i, g, o]).any()
    model = CharLM(4, (H,), "lstm", {"forget_bias": 2.5})
    torch.testing.assert_close(model.cells[0].bias.chunk(4)[1], torch.full((H,), 2.5))


@pytest.mark.parametrize(("input_size", "hidden_size"), [(0, 5), (4, 0), (4, -1)])
def test_a_size_below_1_is_a_mistake(input_size: int, hidden_size: int) -> None:
    with pytest.raises(UserError, match=r"both sizes must be at least 1"):
        RNN(input_size, hidden_size)


def test_an_unknown_nonlinearity_is_a_mistake() -> None:
    with pytest.raises(UserError, match="Unknown nonlinearity 'gelu': choose tanh or relu"):
        RNN(I, H, "gelu")


def test_cells_show_what_they_are() -> None:
    assert [repr(cell) for cell in (RNN(4, 5), GRU(4, 5, False), LSTM(4, 5))] == [
        "RNN(4, 5, nonlinearity=tanh)",
        "GRU(4, 5, reset_after=False)",
        "LSTM(4, 5)",
    ]
