"""``charlm fit / validate / test``: Lightning's command line over the module and the data."""

import logging
import warnings
from typing import Any

import lightning as L
import torch
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from charlm.callbacks import HyperParameters, RunProgressBar, TextSamples, Throughput
from charlm.data import CharDataModule
from charlm.module import CharLMModule
from charlm.saving import BestCheckpoint, LastCheckpoint

LOG_FOLDER = "lightning_logs"


class SaveConfig(SaveConfigCallback):
    """``config.yaml`` beside the logs of a run that trains."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit" and trainer.loggers:
            super().setup(trainer, pl_module, stage)


class CharLMCLI(LightningCLI):
    """The Trainer's subcommands, with the callbacks that every run has."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        everything = LightningCLI.subcommands()
        return {command: everything[command] for command in ("fit", "validate", "test")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(LastCheckpoint, "checkpoint")
        parser.add_lightning_class_args(BestCheckpoint, "best")
        parser.add_lightning_class_args(TextSamples, "samples")
        parser.link_arguments("data.vocabulary", "model.vocabulary", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        config = self.config_init[self.subcommand]["trainer"]
        kwargs["use_distributed_sampler"] = False
        if config["logger"] in (None, True):
            folder = config["default_root_dir"] or "."
            kwargs["logger"] = TensorBoardLogger(folder, LOG_FOLDER, default_hp_metric=False)
        if config["enable_progress_bar"] is not False:
            kwargs["callbacks"] = [*(config["callbacks"] or []), RunProgressBar()]
        return super().instantiate_trainer(**kwargs)


def run(arguments: list[str] | None = None) -> None:
    """Run ``fit``, ``validate`` or ``test`` with its options (none: those of the process).

    Raises:
        argparse.ArgumentError: an option that doesn't exist, or a value that it doesn't take.
        UserError: any other mistake.
    """
    quiet_lightning()
    options = {"exit_on_error": False}
    CharLMCLI(
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
            "callbacks": [Throughput(), HyperParameters()],
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
