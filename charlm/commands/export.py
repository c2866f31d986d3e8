"""``charlm export``: a trained model as files that anyone can read."""

from pathlib import Path

from charlm.export import safetensors as exporting


def export(checkpoint: Path, output: Path, onnx: bool = False) -> None:
    """Write a trained model as model.safetensors and config.json, without a pickle.

    The folder appears whole or not at all. Wherever charlm takes a checkpoint, it can be named
    instead, but for going on with training.

    Args:
        checkpoint: a file that charlm fit wrote.
        output: the folder to write; it mustn't exist yet, or be empty.
        onnx: also write model.onnx, the model's single step with its state as inputs and outputs.
    """
    written = exporting.export(checkpoint, output, onnx)
    print("\n".join(str(path) for path in written))
