"""The model's single step as an ONNX graph, its state among the inputs and outputs.

    B lanes · V vocabulary · H hidden size of a layer · P what a cell makes of its input

Inputs: ``ids`` [B] (int64) and, layer by layer, ``hidden_0`` [B, H] (and ``memory_0`` for an LSTM).
Outputs: ``logits`` [B, V], ``new_hidden_0`` and so on. At a text's start the state is zeros.

The graph is written node by node, so that it depends neither on how torch traces a model nor on
the version of its exporter. What each cell adds to it stands in ``charlm.export.onnx_cells``.
"""

import json

import torch

from charlm.errors import UserError
from charlm.export.onnx_cells import RECIPES
from charlm.export.onnx_graph import Graph
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

# Old enough for every runtime of the last years, new enough for each operator here.
OPSET, IR_VERSION = 17, 8


def serialise(model: CharLM, vocabulary: Vocabulary) -> bytes:
    """The step of ``model`` in evaluation mode as an ONNX file of float32.

    Its metadata hold ``vocabulary``: the symbols and the normalisation in JSON.

    Raises:
        UserError: onnx isn't installed, or the model has a cell that isn't in ``RECIPES``.
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
        if type(cell) not in RECIPES:
            known = ", ".join(known.__name__ for known in RECIPES)
            raise UserError(
                f"The cell {type(cell).__name__} can't be written as ONNX, only {known} can: export "
                "without --onnx."
            )
    graph = Graph()
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["B"])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", len(vocabulary)])]
    below, hidden = "ids", []
    for number, cell in enumerate(model.cells):
        if number == 0:
            # What the cell makes of each symbol.
            symbols = torch.arange(model.vocab_size, device=cell.weight_ih.device)
            table_VP = cell.project(
                symbols if model.embedding is None else model.embedding(symbols)
            )
            x_BP = graph.add("Gather", graph.constant(table_VP), "ids")
        else:
            x_BP = RECIPES[type(cell)].project(graph, cell, below)
        state = [f"{part}_{number}" for part in cell.state_names]
        new = [f"new_{part}" for part in state]
        RECIPES[type(cell)].step(graph, cell, x_BP, state, new)
        for names, values in ((state, inputs), (new, outputs)):
            values += [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", cell.hidden_size])
                for name in names
            ]
        below = new[0]
        hidden.append(below)
    read = graph.add("Concat", *hidden, axis=1) if model.readout == "concat" else below
    graph.linear(read, model.output.weight, model.output.bias, output="logits")
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
