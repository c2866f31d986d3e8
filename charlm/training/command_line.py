"""``charlm fit / validate / test``: Lightning's command line over the module and the data."""

import argparse
import contextlib
import logging
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from charlm.data.datamodule import CharDataModule
from charlm.data.samplers import share
from charlm.training import failures
from charlm.training.callbacks import CONFIGURED, watching_callbacks
from charlm.training.cell_help import CellHelp
from charlm.training.configuration import MODE
from charlm.training.logger import LOG_FOLDER, RunLogger
from charlm.training.module import CharLMModule
from charlm.training.options import ResumingCLI, SaveConfig
from charlm.training.resume.checkpoints import WholeFiles
from charlm.training.resume.compatibility import check_data, check_model


class CharLMCLI(ResumingCLI):
    """The Trainer's subcommands, with the callbacks that every run has."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        everything = LightningCLI.subcommands()
        return {command: everything[command] for command in ("fit", "validate", "test")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--cell_help",
            metavar="CELL",
            action=CellHelp,
            default=argparse.SUPPRESS,
            help="print what a cell computes, and its options (model.cell_options), and exit",
        )
        for section, callback in CONFIGURED.items():
            parser.add_lightning_class_args(callback, section)
        parser.link_arguments("data.vocabulary", "model.vocabulary", apply_on="instantiate")
        parser.link_arguments(
            "data.num_training_characters", "model.num_characters", apply_on="instantiate"
        )
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        config = self.config_init[self.subcommand]["trainer"]
        kwargs["use_distributed_sampler"] = False
        if config["profiler"] is None:
            kwargs["profiler"] = Unprofiled()
        kwargs["plugins"] = [*plugins_of(config["plugins"]), WholeFiles()]
        if config["logger"] in (None, True):
            kwargs["logger"] = self._logger(config["default_root_dir"] or ".")
        if self.model.sizing is not None and not has_limit(config):
            B, T = (self.datamodule.hparams[name] for name in ("num_lanes", "num_steps"))
            each = B * T * config["accumulate_grad_batches"]
            kwargs |= {"max_epochs": -1, "max_steps": self.model.sizing.num_steps(each)}
        self.save_config_kwargs["options"] = self.config_dump
        has_bar = config["enable_progress_bar"] is not False
        kwargs["callbacks"] = [*(config["callbacks"] or []), *watching_callbacks(has_bar)]
        return super().instantiate_trainer(**kwargs)

    def _logger(self, root: str) -> RunLogger:
        folder = self.run_folder
        if folder is None:
            return RunLogger(root, LOG_FOLDER, default_hp_metric=False)
        # What a killed run had logged after its last checkpoint, it logs again.
        again: dict[str, Any] = {"purge_step": self.resumed_step + 1}
        return RunLogger(folder.root, LOG_FOLDER, folder.version, default_hp_metric=False, **again)

    def fit(self, **options: Any) -> None:
        """``Trainer.fit``, with what the user is to be told of it."""
        data: Any = self.datamodule
        share(data.hparams.num_lanes, 0, self.trainer.world_size)
        if self.resumed is not None and not self._goes_on():
            return
        try:
            self.trainer.fit(**options)
        except Exception as error:
            if failures.is_out_of_memory(error):
                raise failures.out_of_memory(self.model, data) from error
            raise

    def _goes_on(self) -> bool:
        """Whether anything is left to train after the checkpoint; nothing is written before.

        Raises:
            UserError: options that the checkpoint can't be used with.
        """
        checkpoint, self.checkpoint = self.checkpoint, {}
        data: Any = self.datamodule
        check_data(
            checkpoint.get("datamodule_hyper_parameters", {}), data.hparams | data.corpus_used
        )
        check_model(self.model, checkpoint["hyper_parameters"])
        tell(f"going on from {self.resumed} (step {self.resumed_step})")
        num_epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["completed"]
        for name, reached in (("max_epochs", num_epochs), ("max_steps", self.resumed_step)):
            limit = getattr(self.trainer, name)
            if limit not in (None, -1) and reached >= limit:
                tell(
                    f"nothing is left to train: it has reached trainer.{name} {limit}; give more to "
                    "go on."
                )
                return False
        return True


def has_limit(config: Any) -> bool:
    """Whether the Trainer's configuration says when a run ends."""
    limits = (config["max_epochs"], config["max_steps"], config["max_time"])
    return any(limit not in (None, -1) for limit in limits)


class Unprofiled(PassThroughProfiler):
    """As without a profiler, which Lightning enters and leaves a hundred times a step."""

    NOTHING = contextlib.nullcontext()

    def profile(self, action_name: str) -> Any:
        return self.NOTHING


def plugins_of(configured: Any) -> list[Any]:
    """The Trainer's plugins, as its configuration gives them: none, one or several.

    On SLURM, Lightning's handler of the requeue signal would save in mid-step.
    """
    plugins = configured if isinstance(configured, list) else [configured]
    plugins = [plugin for plugin in plugins if plugin is not None]
    if SLURMEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))
    return plugins


@rank_zero_only
def tell(message: str) -> None:
    print(f"charlm: {message}", file=sys.stderr)


def run(
    arguments: list[str] | None = None,
    callbacks: Sequence[Callback] = (),
    kind: type[CharLMCLI] = CharLMCLI,
) -> CharLMCLI:
    """Run ``fit``, ``validate`` or ``test`` with its options (none: those of the process).

    Args:
        callbacks: more of them, for a program that looks on.
        kind: the command line, for a program that does something else with the options.

    Raises:
        argparse.ArgumentError: an option that doesn't exist, or a value that it doesn't take.
        UserError: any other mistake.
    """
    quiet_lightning()
    options = {"exit_on_error": False, "parser_mode": MODE}
    with failures.told_in_a_sentence():
        return kind(
            CharLMModule,
            CharDataModule,
            args=arguments,
            seed_everything_default=0,
            save_config_callback=SaveConfig,
            save_config_kwargs={"overwrite": True},
            trainer_defaults={
                "accelerator": "cuda" if torch.cuda.is_available() else "cpu",
                "max_epochs": 100,
                "gradient_clip_val": 1.0,
                "enable_model_summary": False,
                "callbacks": [*callbacks],
            },
            parser_kwargs={"prog": "charlm", **options}
            | dict.fromkeys(CharLMCLI.subcommands(), options),
            # The optimiser is the module's own argument.
            auto_configure_optimizers=False,
        )


def quiet_lightning() -> None:
    """Keep to what concerns the user's run: no product tips, no advice that doesn't apply."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for advice in (
        "The number of training batches .* is smaller than the logging interval",
        "You defined a `validation_step` but have no `val_dataloader`",
        # Lightning with torch 2.13, about a line of its own.
        r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    ):
        warnings.filterwarnings("ignore", advice)
