"""A trained model as a static folder: a page that generates in the browser, without a server.

    V vocabulary · H hidden size of a layer · G gates × H

The folder holds ``index.html``, ``generate.js`` (the step, in JavaScript) and ``model.js``
(the weights in float32, as base64 in a script, since a page that was opened from a folder may load
scripts but no other files). The products of a matrix and a vector are 255 bytes of WebAssembly,
assembled from ``product.wat``: plain JavaScript writes 600 characters a second with an LSTM of 512
units. onnxruntime-web was the other way; it is some 12 MB more, and doesn't start from a folder.
"""

import base64
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.cells import GRU, LSTM, RNN, Cell
from charlm.errors import UserError
from charlm.model import CharLM
from charlm.pages.common import json_in_html, with_common
from charlm.text.visible import visible_name
from charlm.text.vocabulary import Vocabulary

# Numbers: a row of a matrix has a multiple of so many.
ROW = 8
ASSETS = Path(__file__).parent / "assets"
# Cells whose step stands in generate.js, by exact class, and their names there.
STEPS: dict[type[Cell], str] = {RNN: "rnn", GRU: "gru", LSTM: "lstm"}


def web_files(model: CharLM, vocabulary: Vocabulary, name: str) -> dict[str, bytes]:
    """The folder's files by name.

    Args:
        name: what the page calls the model.

    Raises:
        UserError: a cell whose step isn't written in JavaScript.
    """
    written = {name: (ASSETS / name).read_bytes() for name in ("index.html", "generate.js")}
    written["style.css"] = with_common(ASSETS / "style.css").encode()
    description, weights = _describe(model)
    description |= {
        "name": visible_name(name),
        "symbols": list(vocabulary.symbols),
        "normalisation": vocabulary.normalisation,
        "mark": vocabulary.mark_id,  # of what stands between documents, if the text has any
        "weights": base64.b64encode(weights).decode(),
    }
    content = json_in_html(description)
    return written | {"model.js": f'"use strict";\nconst MODEL = {content};\n'.encode()}


def _describe(model: CharLM) -> tuple[dict[str, Any], bytes]:
    """The layers and where their weights begin, and the weights, one after the other."""
    tensors: list[Tensor] = []
    count = 0

    def place(tensor: Tensor) -> int:
        """Where a tensor's first number stands among all of them."""
        nonlocal count
        tensors.append(tensor.detach().float().cpu().contiguous())
        count += tensor.numel()
        return count - tensor.numel()

    def matrix(weight: Tensor) -> int:
        """The same of a matrix that vectors are multiplied with: its rows padded with zeros."""
        return place(F.pad(weight, (0, -weight.shape[1] % ROW)))

    layers = []
    for number, cell in enumerate(model.cells):
        if type(cell) not in STEPS:
            raise UserError(
                f"The cell {type(cell).__name__} has no step in JavaScript, only "
                f"{', '.join(known.__name__ for known in STEPS)} have: leave out --web; charlm "
                "serve shows it live."
            )
        layer: dict[str, Any] = {"cell": STEPS[type(cell)], "size": cell.hidden_size}
        if number == 0:
            # Of V symbols each has its row: the input's part of every gate, ready made.
            symbols = torch.arange(model.vocab_size, device=cell.weight_ih.device)
            inputs = symbols if model.embedding is None else model.embedding(symbols)
            layer["table"] = place(cell.project(inputs))
        else:
            layer["weight_ih"], layer["bias"] = matrix(cell.weight_ih), place(cell.bias)
        layer["weight_hh"] = matrix(cell.weight_hh)
        if isinstance(cell, GRU):
            layer["reset_after"] = cell.reset_after
            if cell.bias_hn is not None:
                layer["bias_hn"] = place(cell.bias_hn)
        if isinstance(cell, RNN):
            layer["nonlinearity"] = cell.nonlinearity
        layers.append(layer)
    output = {"weight": matrix(model.output.weight), "bias": place(model.output.bias)}
    numbers = torch.cat([tensor.flatten() for tensor in tensors]).numpy().astype("<f4")
    return {"layers": layers, "output": output, "readout": model.readout}, numbers.tobytes()
