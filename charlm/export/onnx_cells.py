"""The single step of each cell in ONNX's operators: the equations stand in ``charlm.cells``.

B lanes · H hidden size of a layer · G gates × H
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from torch.nn import functional as F

from charlm.cells import (
    GRU,
    LSTM,
    RGLRU,
    RNN,
    SLSTM,
    Cell,
    LayerNormLSTM,
    MinGRU,
    MinLSTM,
    MogrifierLSTM,
)
from charlm.cells.rg_lru import C
from charlm.export.onnx_graph import Graph


def _affine(graph: Graph, cell: Cell, vectors: str) -> str:
    return graph.linear(vectors, cell.weight_ih, cell.bias)


def _rnn(graph: Graph, cell: RNN, x_BG: str, state: list[str], new: list[str]) -> None:
    a = graph.add("Add", x_BG, graph.linear(state[0], cell.weight_hh))
    graph.add("Tanh" if cell.nonlinearity == "tanh" else "Relu", a, output=new[0])


def _gru(graph: Graph, cell: GRU, x_BG: str, state: list[str], new: list[str]) -> None:
    (h,), H = state, cell.hidden_size
    x_rz, x_n = graph.blocks(x_BG, [2 * H, H])
    weight_rz, weight_n = cell.weight_hh.split([2 * H, H])
    rz = graph.add("Sigmoid", graph.add("Add", x_rz, graph.linear(h, weight_rz)))
    r, z = graph.chunks(rz, 2)
    if cell.reset_after:
        recurrent = graph.add("Mul", r, graph.linear(h, weight_n, cell.bias_hn))
    else:
        recurrent = graph.linear(graph.add("Mul", r, h), weight_n)
    n = graph.add("Tanh", graph.add("Add", x_n, recurrent))
    # (1 - z) * n + z * h = n + z * (h - n)
    graph.add("Add", n, graph.add("Mul", z, graph.add("Sub", h, n)), output=new[0])


def _lstm_memory(graph: Graph, a: str, c: str, new_c: str) -> tuple[str, str]:
    """c' and o from what i, f, g and o are made of."""
    i, f, g, o = graph.chunks(a, 4)
    kept = graph.add("Mul", graph.add("Sigmoid", f), c)
    written = graph.add("Mul", graph.add("Sigmoid", i), graph.add("Tanh", g))
    return graph.add("Add", kept, written, output=new_c), graph.add("Sigmoid", o)


def _lstm(graph: Graph, cell: LSTM, x_BG: str, state: list[str], new: list[str]) -> None:
    h, c = state
    a = graph.add("Add", x_BG, graph.linear(h, cell.weight_hh))
    new_c, o = _lstm_memory(graph, a, c, new[1])
    graph.add("Mul", o, graph.add("Tanh", new_c), output=new[0])


def _min_gru(graph: Graph, cell: MinGRU, x_BG: str, state: list[str], new: list[str]) -> None:
    (h,) = state
    x_z, n = graph.chunks(x_BG, 2)
    # (1 - z) * h + z * n = h + z * (n - h)
    written = graph.add("Mul", graph.add("Sigmoid", x_z), graph.add("Sub", n, h))
    graph.add("Add", h, written, output=new[0])


def _log_sigmoid(graph: Graph, value: str) -> str:
    return graph.add("Neg", graph.add("Softplus", graph.add("Neg", value)))


def _min_lstm(graph: Graph, cell: MinLSTM, x_BG: str, state: list[str], new: list[str]) -> None:
    (h,) = state
    x_f, x_i, n = graph.chunks(x_BG, 3)
    # i / (f + i) = σ(log i - log f), and f / (f + i) is the rest.
    i = graph.add("Sigmoid", graph.add("Sub", _log_sigmoid(graph, x_i), _log_sigmoid(graph, x_f)))
    graph.add("Add", h, graph.add("Mul", i, graph.add("Sub", n, h)), output=new[0])


def _normalised_input(graph: Graph, cell: LayerNormLSTM, vectors: str) -> str:
    return graph.layer_norm(graph.linear(vectors, cell.weight_ih), cell.gain_ih, cell.bias)


def _layer_norm_lstm(
    graph: Graph, cell: LayerNormLSTM, x_BG: str, state: list[str], new: list[str]
) -> None:
    h, c = state
    recurrent = graph.layer_norm(graph.linear(h, cell.weight_hh), cell.gain_hh)
    new_c, o = _lstm_memory(graph, graph.add("Add", x_BG, recurrent), c, new[1])
    shown = graph.layer_norm(new_c, cell.gain_memory, cell.bias_memory)
    graph.add("Mul", o, graph.add("Tanh", shown), output=new[0])


def _vectors_themselves(graph: Graph, cell: MogrifierLSTM, vectors: str) -> str:
    return vectors


def _mogrifier_lstm(
    graph: Graph, cell: MogrifierLSTM, x_BI: str, state: list[str], new: list[str]
) -> None:
    x, (h, c) = x_BI, state
    two = graph.scalar(2)
    for number, factors in enumerate(cell.gates):
        gate = h if number % 2 == 0 else x
        for factor in factors:  # type: ignore[attr-defined]
            gate = graph.linear(gate, factor)
        gate = graph.add("Mul", two, graph.add("Sigmoid", gate))
        if number % 2 == 0:
            x = graph.add("Mul", gate, x)
        else:
            h = graph.add("Mul", gate, h)
    a = graph.add("Add", _affine(graph, cell, x), graph.linear(h, cell.weight_hh))
    new_c, o = _lstm_memory(graph, a, c, new[1])
    graph.add("Mul", o, graph.add("Tanh", new_c), output=new[0])


def _slstm(graph: Graph, cell: SLSTM, x_BG: str, state: list[str], new: list[str]) -> None:
    h, c, n, m = state
    a = graph.add("Add", x_BG, graph.linear(h, cell.weight_hh))
    log_i, f, g, o = graph.chunks(a, 4)
    log_f = f if cell.exponential_forget else _log_sigmoid(graph, f)
    is_first = graph.add("Equal", n, graph.scalar(0))
    counted = graph.add("Where", is_first, graph.scalar(-np.inf), m)
    kept = graph.add("Add", log_f, counted)
    new_m = graph.add("Max", kept, log_i, output=new[3])
    f = graph.add("Exp", graph.add("Sub", kept, new_m))
    i = graph.add("Exp", graph.add("Sub", log_i, new_m))
    written = graph.add("Mul", i, graph.add("Tanh", g))
    new_c = graph.add("Add", graph.add("Mul", f, c), written, output=new[1])
    new_n = graph.add("Add", graph.add("Mul", f, n), i, output=new[2])
    shown = graph.add("Div", new_c, new_n)
    graph.add("Mul", graph.add("Sigmoid", o), shown, output=new[0])


def _rg_lru(graph: Graph, cell: RGLRU, x_BG: str, state: list[str], new: list[str]) -> None:
    _, h, *before = state
    u, v = graph.chunks(x_BG, 2)
    w = graph.constant(cell.kernel_bias)
    for kernel, value in zip(cell.kernel, [u, *before], strict=True):
        w = graph.add("Add", w, graph.add("Mul", graph.constant(kernel), value))
    gates = graph.add("Sigmoid", graph.linear(w, cell.weight_gates, cell.bias_gates))
    r, i = graph.chunks(gates, 2)
    log_a = graph.add("Mul", graph.constant(-C * F.softplus(cell.decay)), r)
    a = graph.add("Exp", log_a)
    a_square = graph.add("Mul", a, a)
    # 1 - a² = tanh(-log a) * (1 + a²), precise where a is almost 1.
    rest = graph.add("Mul", graph.add("Tanh", graph.add("Neg", log_a)), graph.one_plus(a_square))
    written = graph.add("Mul", graph.add("Sqrt", rest), graph.add("Mul", i, w))
    new_h = graph.add("Add", graph.add("Mul", a, h), written, output=new[1])
    # gelu(v) = v * (1 + erf(v / √2)) / 2
    erf = graph.add("Erf", graph.add("Mul", v, graph.scalar(0.5**0.5)))
    half_v = graph.add("Mul", v, graph.scalar(0.5))
    gelu = graph.add("Mul", half_v, graph.one_plus(erf))
    out = graph.add("Mul", gelu, new_h)
    graph.linear(out, cell.weight_out, cell.bias_out, output=new[0])
    for value, name in zip([u, *before[:2]], new[2:], strict=True):
        graph.add("Identity", value, output=name)


class Recipe(NamedTuple):
    """How to write a cell.

    Args:
        step: (graph, cell, what the cell makes of its input [B, ..], names of the state before, of
            the one after).
        project: (graph, cell, the outputs of the layer below [B, I]) -> what the cell makes of them.
    """

    step: Callable[[Graph, Any, str, list[str], list[str]], None]
    project: Callable[[Graph, Any, str], str] = _affine


# Exactly these classes.
RECIPES: dict[type[Cell], Recipe] = {
    RNN: Recipe(_rnn),
    GRU: Recipe(_gru),
    LSTM: Recipe(_lstm),
    MinGRU: Recipe(_min_gru),
    MinLSTM: Recipe(_min_lstm),
    RGLRU: Recipe(_rg_lru),
    MogrifierLSTM: Recipe(_mogrifier_lstm, _vectors_themselves),
    LayerNormLSTM: Recipe(_layer_norm_lstm, _normalised_input),
    SLSTM: Recipe(_slstm),
}
