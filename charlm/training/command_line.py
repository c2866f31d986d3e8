"""``charlm fit / validate / test``: Lightning's command line over the module and the data."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from charlm.data.datamodule import CharDataModule
from charlm.data.samplers import share
from charlm.errors import UserError
from charlm.training import failures
from charlm.training.callbacks import CONFIGURED, StopEarly
from charlm.training.cell_help import CellHelp
from charlm.training.configuration import MODE
from charlm.training.logger import LOG_FOLDER, RunLogger, log_folder
from charlm.training.module import CharLMModule
from charlm.training.options import ConfigParser, ResumingCLI, SaveConfig, check_serialised
from charlm.training.resume.compatibility import check_data, check_model
from charlm.training.resume.limits import NOTHING_TRAINED, reached_limit, why_it_ended
from charlm.training.trainer import (
    DEFAULTS,
    check_callbacks,
    check_numbers,
    make_trainer,
    quiet_lightning,
)
from charlm.training.truncation import check_windows

COMMANDS = ("fit", "validate", "test")


class CharLMCLI(ResumingCLI):
    """The Trainer's subcommands, with the callbacks that every run has.

    Args:
        commands: those that may be given. Each has a parser, which takes a tenth of a second to build.
    """

    def __init__(self, *args: Any, commands: Sequence[str] = COMMANDS, **options: Any) -> None:
        self.commands = commands
        super().__init__(*args, **options)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        everything = LightningCLI.subcommands()
        return {command: everything[command] for command in self.commands}

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
        config = self.config_init[self.subcommand]
        options = {**config["trainer"], **kwargs}
        check_numbers(options)
        if self.model.sizing is not None and not has_limit(options):
            B, T = (self.datamodule.hparams[name] for name in ("num_lanes", "num_steps"))
            each = B * T * options["accumulate_grad_batches"]
            options |= {"max_epochs": -1, "max_steps": self.model.sizing.num_steps(each)}
        given = options.pop("callbacks") or []
        callbacks = [*given] if isinstance(given, list) else [given]
        check_callbacks(callbacks)
        check_serialised(self.config_dump)
        callbacks += [config[section] for section in CONFIGURED]
        callbacks += self.trainer_defaults["callbacks"]
        if not options["fast_dev_run"]:
            parser, used = self._parser(self.subcommand), self.config[self.subcommand]
            callbacks.append(SaveConfig(parser, used, self.config_dump, **self.save_config_kwargs))
        if self.run_folder is not None and options["logger"] in (None, True):
            # What a killed run had logged after its last checkpoint, it logs again. Samples of text
            # stand at the number of steps done, metrics at one less (``RunLogger``).
            again: dict[str, Any] = {"purge_step": self.resumed_step + 1}
            root, version = self.run_folder
            options["logger"] = RunLogger(
                root, LOG_FOLDER, version, default_hp_metric=False, **again
            )
        return make_trainer(callbacks, **options)

    def fit(self, **options: Any) -> None:
        """``Trainer.fit``, with what the user is to be told of it."""
        data: Any = self.datamodule
        share(data.hparams.num_lanes, 0, self.trainer.world_size)
        check_windows(self.model.hparams["backprop_steps"], data.hparams)
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, StopEarly):
                callback.check(has_validation=bool(len(data.split.val)))
        if self.resumed is not None and not self._goes_on():
            return
        profiler = self.trainer.profiler  # type: ignore[attr-defined]
        if not isinstance(profiler, PassThroughProfiler):
            # Its summary is no log message, which would be dropped.
            profiler._rank_zero_info = show
        if self.trainer.num_nodes > 1 and self.trainer.world_size > 1:
            tell(f"waiting until all {self.trainer.world_size} processes have been started.")
        try:
            with failures.quiet_writers():
                self.trainer.fit(**options)
        except Exception as error:
            if failures.is_out_of_memory(error):
                raise failures.out_of_memory(self.model, data) from error
            if isinstance(error, OSError) and error.filename is None:
                # TensorBoard's thread, which can't say what it was writing to.
                error.filename = log_folder(self.trainer)
            raise
        if reason := why_it_ended(self.trainer):
            tell(reason)
        elif self.trainer.progress_bar_callback is None and (
            self.trainer.global_step == self.resumed_step
        ):
            tell(NOTHING_TRAINED)  # else the bar has said so

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
        if limit := reached_limit(self.trainer, checkpoint):
            tell(f"nothing is left to train: it has reached {limit}; give more to go on.")
            return False
        return True

    def validate(self, **options: Any) -> None:
        """``Trainer.validate``, of a trained model."""
        self._measure("validate", options)

    def test(self, **options: Any) -> None:
        """``Trainer.test``, of a trained model."""
        self._measure("test", options)

    def _measure(self, command: str, options: dict[str, Any]) -> None:
        if self.resumed is None:
            raise UserError(
                f"charlm {command} measures a trained model: name its checkpoint with --ckpt_path "
                "FILE, or take --ckpt_path best or last for those of the newest run."
            )
        getattr(self.trainer, command)(**options)


def has_limit(config: Any) -> bool:
    """Whether the Trainer's configuration says when a run ends."""
    limits = (config["max_epochs"], config["max_steps"], config["max_time"])
    return any(limit not in (None, -1) for limit in limits)


@rank_zero_only
def show(text: str) -> None:
    print(text, file=sys.stderr)


def tell(message: str) -> None:
    show(f"charlm: {message}")


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
    given = sys.argv[1:] if arguments is None else arguments
    commands = [command for command in COMMANDS if command in given[:1]] or COMMANDS
    options = {"exit_on_error": False, "parser_mode": MODE}
    with failures.told_in_a_sentence():
        return kind(
            CharLMModule,
            CharDataModule,
            args=arguments,
            seed_everything_default=0,
            # Made in instantiate_trainer.
            save_config_callback=None,
            parser_class=ConfigParser,
            trainer_defaults={**DEFAULTS, "callbacks": [*callbacks]},
            parser_kwargs={"prog": "charlm", **options} | dict.fromkeys(commands, options),
            commands=commands,
            # The optimiser is the module's own argument.
            auto_configure_optimizers=False,
        )
