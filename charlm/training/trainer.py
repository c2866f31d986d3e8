"""A Trainer with all that a run of charlm has: callbacks, logs, checkpoint files that are whole."""

import contextlib
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch.callbacks import Callback, StochasticWeightAveraging
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import PassThroughProfiler

from charlm.errors import UserError
from charlm.text.sources import in_unicode
from charlm.training.callbacks import OF_FILES, run_callbacks
from charlm.training.logger import LOG_FOLDER, RunLogger
from charlm.training.resume.whole_files import WholeFiles

# Where charlm's defaults aren't Lightning's.
DEFAULTS: dict[str, Any] = {
    # Neither Lightning's "auto": on a Mac these small models are faster on the CPU, and proven there.
    "accelerator": "cuda" if torch.cuda.is_available() else "cpu",
    "max_epochs": 100,
    "gradient_clip_val": 1.0,
    "enable_model_summary": False,
}


# The least that makes sense, where Lightning takes any number and fails later, or trains nonsense.
LEAST: dict[str, float] = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "log_every_n_steps": 0,
    "num_sanity_val_steps": -1,
    "gradient_clip_val": 0,
    "min_epochs": 0,
    "min_steps": 0,
}


class Unprofiled(PassThroughProfiler):
    """As without a profiler, which Lightning enters and leaves a hundred times a step."""

    NOTHING = contextlib.nullcontext()

    def profile(self, action_name: str) -> Any:
        return self.NOTHING


def make_trainer(
    callbacks: Callback | Sequence[Callback] | None = None,
    logger: Logger | Sequence[Logger] | bool | None = None,
    default_root_dir: str | Path | None = None,
    **options: Any,
) -> L.Trainer:
    """The Trainer that ``charlm fit`` trains with, for a program or a notebook.

    It writes ``lightning_logs/version_N`` with the log for TensorBoard and both checkpoints, shows
    one progress bar, and continues the samples' prefixes now and then.

    Args:
        callbacks: more of them, or one of charlm's own with other options:
            ``BestCheckpoint(20)``, ``LastCheckpoint(1000)``, ``TextSamples(0)``.
        logger: in place of TensorBoard's; false for none.
        default_root_dir: the folder of ``lightning_logs``; none for the current one.
        **options: the Trainer's own (lightning.ai, "Trainer"); what isn't given is as in ``charlm fit``.

    Raises:
        UserError: a callback with which a run couldn't be resumed; a number that makes no sense.
    """
    given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
    check_callbacks(given)
    quiet_lightning()
    options = DEFAULTS | options
    check_numbers(options)
    in_unicode(str(default_root_dir))
    is_bare = bool(options.get("barebones"))
    if is_bare:
        # All that it forbids, and nothing that the user would have to give up.
        logger = False
        options |= {"log_every_n_steps": None, "enable_progress_bar": False}
        options |= {"enable_checkpointing": False, "num_sanity_val_steps": None}
        given = [callback for callback in given if not isinstance(callback, OF_FILES)]
    elif logger in (None, True):
        logger = RunLogger(str(default_root_dir or "."), LOG_FOLDER, default_hp_metric=False)
    if not is_bare:
        given = run_callbacks(
            given,
            progress_bar=options.get("enable_progress_bar") is not False,
            checkpoints=options.get("enable_checkpointing") is not False,
        )
        options["profiler"] = options.get("profiler") or Unprofiled()
    # Each process takes its own lanes, and no sampler of Lightning's is needed.
    options["use_distributed_sampler"] = False
    options["plugins"] = [*plugins_of(options.get("plugins")), WholeFiles()]
    return L.Trainer(callbacks=given, logger=logger, default_root_dir=default_root_dir, **options)


def check_numbers(options: dict[str, Any]) -> None:
    """Raise a UserError for a number among the Trainer's options that makes no sense."""
    for name, least in LEAST.items():
        number = options.get(name)
        if number is not None and number < least:
            raise UserError(f"trainer.{name} is {number}: it must be at least {least}.")
    if options.get("val_check_interval") == 0:
        raise UserError(
            "trainer.val_check_interval is 0: give a number of batches, or a part of an epoch; "
            "--trainer.limit_val_batches 0 leaves validation out."
        )
    for unit in ("epochs", "steps"):
        fewest, most = options.get(f"min_{unit}"), options.get(f"max_{unit}")
        if fewest and most not in (None, -1) and fewest > most:
            raise UserError(
                f"trainer.min_{unit} is {fewest}, and max_{unit} {most}: make one of them fit the other."
            )


def check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Raise a UserError for a callback with which a run couldn't be resumed."""
    if any(isinstance(callback, StochasticWeightAveraging) for callback in callbacks):
        raise UserError(
            "With StochasticWeightAveraging, which adds an epoch of its own, a run can't be resumed: "
            "take lightning.pytorch.callbacks.EMAWeightAveraging or WeightAveraging."
        )


def quiet_lightning() -> None:
    """Keep to what concerns the user's run: no product tips, no advice that doesn't apply."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for advice in (
        "The number of training batches .* is smaller than the logging interval",
        # Told by check_serialised.
        r"\s*Unable to serialize instance",
        # That is what `barebones` asks for.
        r"You are trying to `self\.log\(\)` but `Trainer\(barebones=True\)`",
        # Our batches are kept as they are, and overfit_batches repeats them.
        "You requested to overfit but enabled train dataloader shuffling",
        "You defined a `validation_step` but have no `val_dataloader`",
        # best.ckpt is one, last.ckpt the other.
        r"`\.\w+\(ckpt_path=\"best\"\)` is called with Trainer configured with multiple",
        # Lightning with torch 2.13, about a line of its own.
        r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    ):
        warnings.filterwarnings("ignore", advice)


def plugins_of(configured: Any) -> list[Any]:
    """The Trainer's plugins, as its configuration gives them: none, one or several.

    On SLURM, Lightning's handler of the requeue signal would save in mid-step.
    """
    plugins = configured if isinstance(configured, list) else [configured]
    plugins = [plugin for plugin in plugins if plugin is not None]
    if SLURMEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))
    return plugins
