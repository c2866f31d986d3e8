"""What a training run that fails for want of memory or by a wrong setting is told as: a sentence."""

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
    except ModuleNotFoundError as error:
        name = (error.name or str(error)).split(".")[0]
        raise UserError(
            f"An option needs the package {name}, which isn't installed: pip install {name}."
        ) from error
    except (MisconfigurationException, ValueError, TypeError) as error:
        if missing := re.search(r"Requirement '([^']+)' not met", str(error)):
            raise UserError(
                f"An option needs the package {missing[1]}, which isn't installed: "
                f"pip install '{missing[1]}'."
            ) from error
        if "MPS" in str(error):
            raise UserError(
                f"Apple's GPU can't do this ({' '.join(str(error).split())}): take "
                "--trainer.accelerator cpu."
            ) from error
        if not isinstance(error, MisconfigurationException) and not is_lightnings(error):
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


def is_lightnings(error: BaseException) -> bool:
    """Whether it was raised in Lightning's own code, which checks the Trainer's arguments."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "/lightning/" in frames[-1].filename.replace("\\", "/")


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
