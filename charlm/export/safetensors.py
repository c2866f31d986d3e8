"""A trained model as a folder of files that need no pickle and no charlm to be read.

- ``model.safetensors``: the parameters by name, as ``CharLM`` names them;
- ``config.json``: the architecture (``CharLM``'s options), the vocabulary with its
  normalisation, the settings of dynamic evaluation, and what data the model was trained on;
- ``model.onnx``, if wanted: the single step (``charlm.export.onnx``).
"""

import inspect
import json
from pathlib import Path
from typing import Any

import safetensors.torch

from charlm.cells.options import modernised
from charlm.checkpoint import CONFIG, WEIGHTS, contents, load
from charlm.export import onnx as onnx_step
from charlm.export.folder import refuse_existing, write_folder
from charlm.model import CharLM

ONNX = "model.onnx"


def export(checkpoint: str | Path, folder: Path, onnx: bool = False) -> list[Path]:
    """Write the export of a checkpoint; the folder appears whole or not at all.

    Args:
        checkpoint: a checkpoint file.
        folder: doesn't exist yet, or is empty.
        onnx: write ``model.onnx``, too.

    Returns:
        The files.

    Raises:
        UserError: the checkpoint can't be loaded (``charlm.checkpoint.load``), the folder is
            there already or can't be written, or onnx isn't installed.
    """
    refuse_existing(folder)
    model, vocabulary = load(checkpoint)
    content = contents(Path(checkpoint))
    weights = {name: weight.contiguous() for name, weight in model.state_dict().items()}
    files = {
        CONFIG: (json.dumps(_config(content), indent=1, ensure_ascii=False) + "\n").encode(),
        WEIGHTS: safetensors.torch.save(weights, {"format": "pt"}),
    }
    if onnx:
        files[ONNX] = onnx_step.serialise(model, vocabulary)
    write_folder(folder, files)
    return [folder / name for name in files]


def _config(content: dict[str, Any]) -> dict[str, Any]:
    hyper_parameters = modernised(content["hyper_parameters"])
    # How layers are unrolled is the machine's matter.
    options = set(inspect.signature(CharLM).parameters) - {"backend"}
    data = content.get("datamodule_hyper_parameters")
    return {
        "format": "charlm",
        "architecture": {n: v for n, v in hyper_parameters.items() if n in options},
        "vocabulary": hyper_parameters["vocabulary"],
        "dynamic_evaluation": hyper_parameters.get("dynamic_evaluation"),
        "data": data and {n: v for n, v in data.items() if n != "_instantiator"},
    }
