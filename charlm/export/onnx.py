"""The model's single step as an ONNX graph, its state among the inputs and outputs.

    B lanes · V vocabulary · H hidden size of a layer · G gates × H

Inputs: ``ids`` [B] (int64) and, layer by layer, ``hidden_0`` [B, H] (and ``memory_0`` for an LSTM).
Outputs: ``logits`` [B, V], ``new_hidden_0`` and so on. At a text's start the state is zeros.

The graph is written node by node, so that it depends neither on how torch traces a model nor on
the version of its exporter. Each function below says the equations of its cell in
``charlm.cells`` in ONNX's operators.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from charlm.cells import GRU, LSTM, RNN, Cell
from charlm.errors import UserError
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

# Old enough for every runtime of the last years, new enough for each operator here.
OPSET, IR_VERSION = 17, 8


class _Graph:
    """Nodes and constants, in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Tensor | np.ndarray) -> str:
        import onnx

        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **options: Any) -> str:
        """Add a node with one output, and return the output's name."""
        return self.add_many(operator, *inputs, outputs=[output], **options)[0]

    def add_many(
        self, operator: str, *inputs: str, outputs: list[str | None], **options: Any
    ) -> list[str]:
        from onnx import helper

        prefix = f"{operator.lower()}_{len(self.nodes)}"
        names = [name or f"{prefix}_{i}" for i, name in enumerate(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **options))
        return names

    def linear(self, vectors: str, weight: Tensor, bias: Tensor | None = None) -> str:
        """x Wᵀ + b for W [out, in], b [out]."""
        rest = [] if bias is None else [self.constant(bias)]
        return self.add("Gemm", vectors, self.constant(weight), *rest, transB=1)

    def blocks(self, value: str, sizes: list[int]) -> list[str]:
        """The parts of a value [B, Σ sizes] that lie side by side."""
        lengths = self.constant(np.array(sizes, dtype=np.int64))
        return self.add_many("Split", value, lengths, outputs=[None] * len(sizes), axis=1)


def _rnn(graph: _Graph, cell: RNN, x_BG: str, state: list[str], new: list[str]) -> None:
    a = graph.add("Add", x_BG, graph.linear(state[0], cell.weight_hh))
    graph.add("Tanh" if cell.nonlinearity == "tanh" else "Relu", a, output=new[0])


def _gru(graph: _Graph, cell: GRU, x_BG: str, state: list[str], new: list[str]) -> None:
    (h,), H = state, cell.hidden_size
    x_rz, x_n = graph.blocks(x_BG, [2 * H, H])
    weight_rz, weight_n = cell.weight_hh.split([2 * H, H])
    rz = graph.add("Sigmoid", graph.add("Add", x_rz, graph.linear(h, weight_rz)))
    r, z = graph.blocks(rz, [H, H])
    if cell.reset_after:
        recurrent = graph.add("Mul", r, graph.linear(h, weight_n, cell.bias_hn))
    else:
        recurrent = graph.linear(graph.add("Mul", r, h), weight_n)
    n = graph.add("Tanh", graph.add("Add", x_n, recurrent))
    # (1 - z) * n + z * h = n + z * (h - n)
    graph.add("Add", n, graph.add("Mul", z, graph.add("Sub", h, n)), output=new[0])


def _lstm(graph: _Graph, cell: LSTM, x_BG: str, state: list[str], new: list[str]) -> None:
    h, c = state
    a = graph.add("Add", x_BG, graph.linear(h, cell.weight_hh))
    i, f, g, o = graph.blocks(a, [cell.hidden_size] * 4)
    kept = graph.add("Mul", graph.add("Sigmoid", f), c)
    written = graph.add("Mul", graph.add("Sigmoid", i), graph.add("Tanh", g))
    new_c = graph.add("Add", kept, written, output=new[1])
    graph.add("Mul", graph.add("Sigmoid", o), graph.add("Tanh", new_c), output=new[0])


# Exactly these classes: (graph, cell, x_BG, names of the state before, names of the one after).
STEPS: dict[type[Cell], Callable[[_Graph, Any, str, list[str], list[str]], None]] = {
    RNN: _rnn,
    GRU: _gru,
    LSTM: _lstm,
}


def serialise(model: CharLM, vocabulary: Vocabulary) -> bytes:
    """The step of ``model`` in evaluation mode as an ONNX file of float32.

    Its metadata hold ``vocabulary``: the symbols and the normalisation in JSON.

    Raises:
        UserError: onnx isn't installed, or the model has a cell that isn't in ``STEPS``.
    """
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError as error:
        raise UserError(
            "To write model.onnx takes the package onnx: install charlm[export], or leave out "
            "--onnx."
        ) from error
    for cell in model.cells:
        if type(cell) not in STEPS:
            known = ", ".join(known.__name__ for known in STEPS)
            raise UserError(
                f"The cell {type(cell).__name__} can't be written as ONNX, only {known} can: export "
                "without --onnx."
            )
    graph = _Graph()
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["B"])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", len(vocabulary)])]
    below = "ids"
    if model.embedding is not None:
        below = graph.add("Gather", graph.constant(model.embedding.weight), "ids")
    hidden = []
    for number, cell in enumerate(model.cells):
        if below == "ids":
            # A one-hot vector times W_ih is a column of it.
            x_BG = graph.add("Gather", graph.constant(cell.weight_ih.t() + cell.bias), "ids")
        else:
            x_BG = graph.linear(below, cell.weight_ih, cell.bias)
        state = [f"{part}_{number}" for part in cell.state_names]
        new = [f"new_{part}" for part in state]
        STEPS[type(cell)](graph, cell, x_BG, state, new)
        for names, values in ((state, inputs), (new, outputs)):
            values += [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", cell.hidden_size])
                for name in names
            ]
        below = new[0]
        hidden.append(below)
    read = graph.add("Concat", *hidden, axis=1) if model.readout == "concat" else below
    weight, bias = graph.constant(model.output.weight), graph.constant(model.output.bias)
    graph.add("Gemm", read, weight, bias, output="logits", transB=1)
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "charlm_step", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="charlm",
    )
    helper.set_model_props(proto, {"vocabulary": json.dumps(vocabulary.config)})
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString()
    return content
