"""A trained model and its vocabulary from a checkpoint file, without Lightning."""

import inspect
import pickle
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import torch

from charlm.errors import UserError
from charlm.model import CharLM
from charlm.vocabulary import Vocabulary


class Trained(NamedTuple):
    """A model with the vocabulary that it was trained on."""

    model: CharLM
    vocabulary: Vocabulary


def load(checkpoint: str | Path, device: str = "cpu") -> Trained:
    """The trained model of a checkpoint, in evaluation mode, on ``device``.

    Plain types only are read (``torch.load(weights_only=True)``): a checkpoint can't run code.

    Raises:
        UserError: the file is missing, damaged, or no charlm checkpoint; the device isn't there.
    """
    content = read(Path(checkpoint))
    architecture = {
        name: content["hyper_parameters"][name]
        for name in inspect.signature(CharLM).parameters
        if name in content["hyper_parameters"]
    }
    vocabulary = Vocabulary.from_config(content["hyper_parameters"]["vocabulary"])
    model = CharLM(len(vocabulary), **architecture)
    model.load_state_dict(
        {
            name.removeprefix("model."): weight
            for name, weight in content["state_dict"].items()
            if name.startswith("model.")
        }
    )
    try:
        return Trained(model.to(device).eval(), vocabulary)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"The device {device!r} can't be used: {reason}") from error


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
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} can't be read as a checkpoint ({reason}): it is damaged or of another kind."
        ) from error
    parts = ("state_dict", "hyper_parameters")
    if not (isinstance(content, dict) and all(part in content for part in parts)) or (
        "vocabulary" not in content["hyper_parameters"]
    ):
        raise UserError(f"{path} is no charlm checkpoint: it has no vocabulary and weights.")
    return content
