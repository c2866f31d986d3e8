"""A trained model and its vocabulary from a checkpoint file or an export, without Lightning."""

import inspect
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch

from charlm.cells.options import modernised
from charlm.errors import UserError
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

# The files of an export (``charlm.export.safetensors``).
CONFIG, WEIGHTS = "config.json", "model.safetensors"
# Where a run keeps its checkpoints, with a logger and without.
PLACES = ("lightning_logs/version_*/checkpoints", "checkpoints")


class Trained(NamedTuple):
    """A model with the vocabulary that it was trained on."""

    model: CharLM
    vocabulary: Vocabulary


def load(checkpoint: str | Path, device: str = "cpu") -> Trained:
    """The trained model of a checkpoint, in evaluation mode, on ``device``.

    Plain types only are read (``torch.load(weights_only=True)``): a checkpoint can't run code.

    Args:
        checkpoint: a checkpoint file, or the folder of an export.

    Raises:
        UserError: it is missing, damaged, or none of charlm's; the device isn't there.
    """
    content = contents(Path(checkpoint))
    options = modernised(content["hyper_parameters"])
    architecture = {
        name: options[name] for name in inspect.signature(CharLM).parameters if name in options
    }
    vocabulary = Vocabulary.from_config(content["hyper_parameters"]["vocabulary"])
    model = CharLM(len(vocabulary), **architecture)
    weights = {
        name.removeprefix("model."): weight
        for name, weight in plain_names(content["state_dict"]).items()
        if name.startswith("model.")
    }
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"The weights in {checkpoint} don't fit the model that it describes: it is damaged."
        ) from error
    try:
        return Trained(model.to(device).eval(), vocabulary)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"The device {device!r} can't be used: {reason}") from error


def plain_names(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The weights by the names that they have in a model that isn't wrapped by torch.compile."""
    return {name.replace("_orig_mod.", ""): weight for name, weight in weights.items()}


def named_as(own: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
    """The weights by the names of ``own``: either model, or both, may be wrapped by torch.compile."""
    own_names = dict(zip(plain_names(own), own, strict=True))
    return {own_names.get(name, name): weight for name, weight in plain_names(weights).items()}


def newest(root: Path, names: Sequence[str] = ("last", "best")) -> Path:
    """The checkpoint that was written last, of all runs under a folder.

    Args:
        root: what has the ``lightning_logs``, or of a run without a logger the ``checkpoints``.
        names: of the files to look for.

    Raises:
        UserError: there is none.
    """
    found = [
        path for name in names for place in PLACES for path in root.glob(f"{place}/{name}.ckpt")
    ]
    if not found:
        files = " or ".join(f"{name}.ckpt" for name in names)
        raise UserError(
            f"There is no {files} of any run in {root / PLACES[0]}: train a model with charlm fit, or "
            "name a checkpoint's file."
        )
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def contents(path: Path) -> dict[str, Any]:
    """What a checkpoint file or the folder of an export holds, laid out as in a checkpoint.

    Raises:
        UserError: see ``load``.
    """
    return _read_export(path) if path.is_dir() else read(path)


def _read_export(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        weights = safetensors.torch.load_file(folder / WEIGHTS)
        return {
            "state_dict": {f"model.{name}": weight for name, weight in weights.items()},
            "hyper_parameters": config["architecture"]
            | {name: config.get(name) for name in ("vocabulary", "dynamic_evaluation")},
            "datamodule_hyper_parameters": config["data"],
        }
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} is no export: there is no {Path(error.filename or WEIGHTS).name} in it; name "
            "a .ckpt file, or a folder that charlm export wrote."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{folder} can't be read as an export ({error}): it is damaged or of another kind."
        ) from error


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint file, on the CPU, its archive's checksums verified.

    Raises:
        UserError: see ``load``.
    """
    if not path.is_file():
        raise UserError(f"There is no checkpoint at {path}: name a .ckpt file that charlm wrote.")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} fails its checksum")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Of any type: one damaged bit makes zlib, codecs, struct or pickle stumble.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} can't be read as a checkpoint ({reason}): it is damaged or of another kind."
        ) from error
    parts = ("state_dict", "hyper_parameters")
    if not (isinstance(content, dict) and all(part in content for part in parts)) or (
        "vocabulary" not in content["hyper_parameters"]
    ):
        raise UserError(f"{path} is no charlm checkpoint: it has no vocabulary and weights.")
    return content
