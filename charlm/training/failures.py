"""One sentence for a run that fails: by a wrong setting, a full disk, or too little memory."""

import re
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from charlm.errors import UserError

BYTES = 4
# What is raised for options that are wrong, or don't go together.
OF_OPTIONS = (MisconfigurationException, ValueError, TypeError, RuntimeError, AttributeError)


@contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """Turn what is the user's to mend into a UserError; any other exception is a mistake of ours.

    Raises:
        UserError: settings that Lightning refuses; a file that can't be written.
        KeyboardInterrupt: Ctrl-C, for which Lightning would exit as if something had failed.
    """
    try:
        yield
    except UserError:
        raise
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from end
        raise
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise UserError(
            f"Can't write or read{where}: {error.strerror or error}; the logs' folder is set with "
            "--trainer.default_root_dir."
        ) from error
    except (ModuleNotFoundError, MemoryError, *OF_OPTIONS) as error:
        if is_out_of_memory(error):
            raise UserError(
                "Out of memory: lower model.hidden_sizes, or the lanes and steps of the data."
            ) from error
        if name := missing_package(error):
            raise UserError(
                f"An option needs the package {name}, which isn't installed: pip install '{name}'."
            ) from error
        if "MPS" in str(error):
            raise UserError(
                f"Apple's GPU can't do this ({' '.join(str(error).split())}): take "
                "--trainer.accelerator cpu."
            ) from error
        if not isinstance(error, MisconfigurationException) and not is_of_options(error):
            raise
        reason = " ".join(str(error).split())
        raise UserError(f"These options don't go together: {reason}") from error


@contextmanager
def quiet_writers() -> Iterator[None]:
    """Keep the traceback of TensorBoard's thread to itself: what it met, the run is told next."""
    usual = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        if not type(failure.thread).__module__.startswith("tensorboard"):
            usual(failure)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = usual


def missing_package(error: BaseException) -> str | None:
    """The package, with its version, for the lack of which an option can't be used."""
    if required := re.search(r"Requirement '([^']+)' not met", str(error)):
        return required[1]
    if not isinstance(error, ModuleNotFoundError):
        return None
    return (error.name or str(error)).split(".")[0]


def is_of_options(error: BaseException) -> bool:
    """Whether it was raised by those who check options: Lightning, jsonargparse, an optimiser.

    Lightning's callbacks look for parts of the module that it may not have: then it is torch's
    ``Module`` that raises.
    """
    frames = traceback.extract_tb(error.__traceback__)
    files = [frame.filename.replace("\\", "/") for frame in frames]
    if not files or "/torch/optim/" in files[-1]:
        return bool(files)
    if files[-1].endswith("/torch/nn/modules/module.py"):
        files = files[:-1]
    return any(f"/{package}/" in files[-1] for package in ("lightning", "jsonargparse"))


def is_out_of_memory(error: BaseException) -> bool:
    """Python's, a GPU's or torch's own way to say it (the last is but a RuntimeError)."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in str(error) or "not enough memory" in str(error)
    )


def out_of_memory(module: L.LightningModule, data: L.LightningDataModule) -> UserError:
    """The sentence for a run that ran out of memory: what needs most, and what to lower."""
    options: Any = data.hparams
    B, T = options.num_lanes, options.num_steps
    model: Any = module.model
    V = model.vocab_size
    sizes = [cell.hidden_size for cell in model.cells]
    # Every layer keeps its gates and states of all steps for the backward pass, the output layer
    # its logits, their logarithms and their gradient.
    kept = sum((cell.num_gates + 3) * cell.hidden_size for cell in model.cells) + 3 * V
    activations = B * T * kept * BYTES
    # The weights, their gradients, and two moments of an Adam.
    weights = 4 * sum(parameter.numel() for parameter in module.parameters()) * BYTES
    lower = "model.hidden_sizes"
    if activations > weights:
        lower = "data.num_lanes" if B >= T else "data.num_steps"
    return UserError(
        f"Out of memory: {B} lanes of {T} steps need about {gigabytes(activations)} GB, the weights "
        f"of hidden sizes {sizes} about {gigabytes(weights)} GB: lower {lower}."
    )


def gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2g}"
