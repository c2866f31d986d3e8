"""Hold a layer, of ``torch.nn`` or of charlm, to the reference: the same parameters in its judge.

T time steps · B lanes · I input size · H hidden size
"""
# ruff: noqa: E741 - I is the input size.

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from charlm import cells, reference
from charlm.model import CharLM
from charlm.reference import StateArrays

# Every reference cell, by name, as a function of its parameters.
CELLS: dict[str, Callable[..., reference.Cell]] = {
    "RNN tanh": reference.RNN,
    "RNN relu": lambda **parameters: reference.RNN(**parameters, nonlinearity="relu"),
    "GRU reset after": reference.GRU,
    "GRU reset before": reference.GRU,
    "LSTM": reference.LSTM,
}


def draw_cell(name: str, I: int, H: int, random: np.random.Generator) -> reference.Cell:
    """A reference cell with standard normal parameters."""
    G = {"RNN": 1, "GRU": 3, "LSTM": 4}[name.split()[0]] * H
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (G, I), "weight_hh": (G, H), "bias": (G,)}
    if name == "GRU reset after":
        shapes["bias_hn"] = (H,)
    return CELLS[name](**{key: random.normal(size=shape) for key, shape in shapes.items()})


def draw_state(cell: reference.Cell, B: int, random: np.random.Generator) -> StateArrays:
    """A standard normal state of the cell."""
    return tuple(random.normal(size=(B, cell.hidden_size)) for _ in range(cell.num_states))


def judge_of_torch(module: nn.RNNBase) -> reference.Cell:
    """A torch.nn layer's judge: its two biases in one, but for those of the GRU's n."""
    weight_ih, weight_hh, bias_ih, bias_hh = (
        parameter.detach().numpy() for parameter in module.parameters()
    )
    if isinstance(module, nn.LSTM):
        return reference.LSTM(weight_ih, weight_hh, bias_ih + bias_hh)
    if isinstance(module, nn.RNN):
        return reference.RNN(weight_ih, weight_hh, bias_ih + bias_hh, module.nonlinearity)
    bias_hr, bias_hz, bias_hn = np.split(bias_hh, 3)
    bias = bias_ih + np.concatenate([bias_hr, bias_hz, np.zeros_like(bias_hn)])
    return reference.GRU(weight_ih, weight_hh, bias, bias_hn)


def judge_of(cell: cells.Cell) -> reference.Cell:
    """A charlm cell's judge, of whatever dtype and device."""
    parameters = {
        name: parameter.detach().cpu().double().numpy()
        for name, parameter in cell.named_parameters()
    }
    if isinstance(cell, cells.RNN):
        return reference.RNN(**parameters, nonlinearity=cell.nonlinearity)
    return {cells.GRU: reference.GRU, cells.LSTM: reference.LSTM}[type(cell)](**parameters)


def judge_of_model(model: CharLM) -> reference.LanguageModel:
    """A model's judge, where it reads one-hot vectors and its last layer only, without dropout."""
    assert model.embedding is None
    assert model.readout == "last"
    weight_VH, bias_V = (
        parameter.detach().cpu().double().numpy() for parameter in model.output.parameters()
    )
    return reference.LanguageModel([judge_of(cell) for cell in model.cells], weight_VH, bias_V)


def assert_close(actual: object, expected: object, tolerance: float = 1e-12) -> None:
    """Equal within ``tolerance``, relative or absolute; tensors are taken to the CPU."""
    arrays = [
        value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        for value in (actual, expected)
    ]
    np.testing.assert_allclose(*arrays, rtol=tolerance, atol=tolerance)
