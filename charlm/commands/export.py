"""``charlm export``: a trained model as files that anyone can read, or as a page."""

from pathlib import Path

from charlm.checkpoint import load
from charlm.errors import UserError
from charlm.export import safetensors as exporting
from charlm.export.folder import refuse_existing, write_folder
from charlm.export.web import web_files


def export(
    checkpoint: Path, output: Path | None = None, onnx: bool = False, web: Path | None = None
) -> None:
    """Write a trained model as model.safetensors and config.json, without a pickle.

    The folder appears whole or not at all. Wherever charlm takes a checkpoint, it can be named
    instead, but for going on with training. With --web, write a folder with a page that generates
    in a browser, without a server: open its index.html.

    Args:
        checkpoint: a file that charlm fit wrote.
        output: the folder to write; it mustn't exist yet, or be empty.
        onnx: also write model.onnx, the model's single step with its state as inputs and outputs.
        web: the folder for the page; it mustn't exist yet, or be empty.
    """
    if output is None and (web is None or onnx):
        raise UserError("There is nowhere to write to: name a folder with --output, or with --web.")
    pages = {}
    if web is not None:
        if output is not None and output.resolve().is_relative_to(web.resolve()):
            raise UserError(f"--output {output} is in the folder of --web: name another one.")
        # Before anything is written: a cell may be refused.
        refuse_existing(web)
        pages = web_files(*load(checkpoint), checkpoint.name)
    if output is not None:
        print("\n".join(str(path) for path in exporting.export(checkpoint, output, onnx)))
    if web is not None:
        write_folder(web, pages)
        print(web / "index.html")
