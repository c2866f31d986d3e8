"""The options of a run: those given, and below them those of the checkpoint it goes on from."""

import os
import secrets
import sys
from pathlib import Path
from typing import Any

import lightning as L
from jsonargparse import Namespace
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from charlm.checkpoint import newest, read
from charlm.configs import names, with_paths
from charlm.data.datamodule import FACTS
from charlm.errors import UserError
from charlm.text.files import atomic_writer
from charlm.text.sources import absolute
from charlm.training.configuration import in_todays_words, read_configuration
from charlm.training.logger import RunFolder, log_folder
from charlm.training.resume.exact import check_resumable

# Of the machine, not of the run: a checkpoint doesn't bring them along.
MACHINE_OPTIONS = ("accelerator", "strategy", "devices", "num_nodes", "plugins", "default_root_dir")
# Of --ckpt_path, of the commands that measure, and of the one that trains.
CKPT_PATH_HELP = (
    "The checkpoint to measure: a file; last or best, of the newest run.",
    "The checkpoint to go on from: a file; last or best, of the newest run; auto, the newest run's "
    "last where there is one, and else a new run.",
)
# The checkpoint's entry.
KEY = "options"


class ConfigParser(LightningArgumentParser):
    """Lightning's, which reads a configuration file by ``charlm.training.configuration``."""

    def parse_path(self, path: str | os.PathLike[str], *args: Any, **options: Any) -> Namespace:
        return self.parse_string(read_configuration(path), os.path.basename(path), *args, **options)


class SaveConfig(Callback):
    """All options of a run that trains: in ``config.yaml`` beside its logs, and in its checkpoints.

    Args:
        parser: that knows the options.
        config: the options.
        options: the same, by section, in plain types.
        filename: of the file beside the logs.
    """

    def __init__(
        self, parser: Any, config: Any, options: dict[str, Any], filename: str = "config.yaml"
    ) -> None:
        # Run again, the file is a new run.
        config = config.clone()
        config["ckpt_path"] = None
        self.parser, self.config, self.filename = parser, config, filename
        self.options = {name: options[name] for name in options if name != "ckpt_path"}
        # The command line links it to seed_everything.
        self.options["data"] = {k: v for k, v in options["data"].items() if k != "seed"}
        # To be found from whatever folder the run is resumed, or run again, from.
        for data in (config["data"], self.options["data"]):
            data["path"] = absolute(data["path"])

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage != "fit" or not trainer.loggers or not trainer.is_global_zero:
            return
        content = self.parser.dump(self.config, skip_none=False)
        with atomic_writer(Path(log_folder(trainer)) / self.filename) as file:
            file.write(content.encode())

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[KEY] = self.options


class ResumingCLI(LightningCLI):
    """Lightning's command line, where ``--ckpt_path`` goes on from a checkpoint.

    An option that neither the command line nor its configuration file gives is the checkpoint's.
    One that is given counts, or is refused when the checkpoint is loaded
    (``charlm.training.resume.compatibility``); Lightning's own would let the checkpoint's override
    it unsaid. ``last`` and ``best`` are those of the newest run, ``auto`` is the newest run's last
    where there is one, and else begins a new run: one command for a machine that may stop at any
    time.
    """

    # The checkpoint that the command goes on from, its step, and the run's folder to go on in.
    resumed: Path | None = None
    checkpoint: dict[str, Any]
    resumed_step = 0
    run_folder: RunFolder | None = None

    def init_parser(self, **options: Any) -> LightningArgumentParser:
        parser = super().init_parser(**options)
        config = parser._option_string_actions["--config"]
        config.help = f"A YAML file, or a shipped configuration: {', '.join(names())}."
        return parser

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **options: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **options)
        parser._option_string_actions["--ckpt_path"].help = CKPT_PATH_HELP[subcommand == "fit"]
        return parser

    def parse_arguments(self, parser: Any, args: Any) -> None:
        # Lightning's own warns of the arguments of the notebook or program that calls it.
        self._arguments = in_todays_words(with_paths(sys.argv[1:] if args is None else args))
        self.config = parser.parse_args(self._arguments)

    def _given(self, subcommand: str) -> dict[str, Any]:
        """The options that the user gives, by section, and no defaults."""
        # What data.seed is linked to has to be there; a seed can't be negative.
        first, *others = self._arguments
        parsed = self.parser.parse_args([first, "--seed_everything=-1", *others], defaults=False)
        given: dict[str, Any] = parsed[subcommand].as_dict()
        # Any seed will do (`true`): that of the checkpoint, too.
        if given["seed_everything"] == -1 or given["seed_everything"] is True:
            del given["seed_everything"]
        return given

    def _parse_ckpt_path(self) -> None:
        config = self.config[self.config["subcommand"]]
        if config["ckpt_path"]:
            self._go_on_from(config["ckpt_path"])
        config = self.config[self.config["subcommand"]]
        if config["seed_everything"] is True:
            config["seed_everything"] = config["data"]["seed"] = drawn_seed()
        elif not 0 <= config["seed_everything"] < 2**32:
            raise UserError(
                f"seed_everything is {config['seed_everything']}: it must be at least 0 and below 2^32."
            )

    def _go_on_from(self, name: str) -> None:
        subcommand = self.config["subcommand"]
        config = self.config[subcommand]
        root = Path(config["trainer"]["default_root_dir"] or ".")
        self.resumed = found(name, root, may_begin=subcommand == "fit")
        if self.resumed is None:
            config["ckpt_path"] = None
            return
        given = self._given(subcommand)
        self.checkpoint = checkpoint = read(self.resumed)
        if subcommand == "fit":
            check_resumable(checkpoint)
            self.resumed_step = checkpoint["global_step"]
            folder = RunFolder.of_last_checkpoint(self.resumed)
            is_given = "default_root_dir" in given.get("trainer", {})
            if folder and (not is_given or folder.root == root.resolve()):
                self.run_folder = folder
                # Beside the options that the run began with stand those that it went on with.
                self.save_config_kwargs["filename"] = f"config-from-step-{self.resumed_step}.yaml"
        below = {subcommand: without(options_of(checkpoint, subcommand), given)}
        self.config = self.parser.parse_object(below, self.config)
        self.config[subcommand]["ckpt_path"] = str(self.resumed)
        data = self.config[subcommand]["data"]
        if subcommand != "fit" or data["allow_changed_corpus"]:
            data["base_vocabulary"] = checkpoint["hyper_parameters"]["vocabulary"]
        # Older checkpoints have the path as it was given, most often in the folder of the logs.
        path = data["path"]
        if (
            "path" not in given.get("data", {})
            and isinstance(path, str)
            and not Path(path).exists()
        ):
            beside = [parent / path for parent in self.resumed.resolve().parents]
            data["path"] = str(next(filter(Path.exists, beside), path))


def found(name: str, root: Path, may_begin: bool) -> Path | None:
    """The checkpoint that ``--ckpt_path`` names; none where ``auto`` finds none and may begin.

    Raises:
        UserError: there is no such run.
    """
    if name not in ("last", "best", "auto"):
        return Path(name)
    if name == "auto":
        name = "last"
        try:
            return newest(root, [name])
        except UserError:
            if may_begin:
                return None
    return newest(root, [name])


def drawn_seed() -> int:
    """A seed by chance, the same in all processes that train together.

    Raises:
        UserError: the processes were started by something that doesn't tell them one.
    """
    if {"LOCAL_RANK", "SLURM_PROCID"}.isdisjoint(os.environ):
        return secrets.randbelow(2**31)
    # Of the process that started this one.
    seed = os.environ.get("PL_GLOBAL_SEED")
    if seed is None:
        raise UserError(
            "Each of these processes would draw another seed: give all of them the same number with "
            "--seed_everything."
        )
    return int(seed)


def check_serialised(options: dict[str, Any], place: str = "") -> None:
    """Raise a UserError for an option that can't be saved, so that no run could come back to it."""
    for name, value in options.items():
        where = f"{place}.{name}" if place else name
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                check_serialised(part, where)
            elif isinstance(part, str) and part.startswith("Unable to serialize instance"):
                raise UserError(
                    f"The value of {where} can't be saved in a configuration, so the run couldn't be "
                    "resumed: give it as a number, a string, or by class path."
                )


def options_of(checkpoint: dict[str, Any], subcommand: str) -> dict[str, Any]:
    """The options of a checkpoint's run, by section, as far as they concern ``subcommand``."""
    options = checkpoint.get(KEY)
    if options is None:
        # Trained by a program of its own: what the model and the data keep themselves.
        model = dict(checkpoint["hyper_parameters"])
        data = dict(checkpoint.get("datamodule_hyper_parameters", {}))
        for name in ("vocabulary", "_instantiator"):
            model.pop(name, None)
        for name in (*FACTS, "seed", "_instantiator"):
            data.pop(name, None)
        options = {"model": model, "data": data}
        if subcommand == "fit" and "datamodule_hyper_parameters" in checkpoint:
            options["seed_everything"] = checkpoint["datamodule_hyper_parameters"]["seed"]
    options = in_todays_words(options)
    if subcommand != "fit":
        return {section: options[section] for section in ("model", "data")}
    return without(options, {"trainer": dict.fromkeys(MACHINE_OPTIONS)})


def without(options: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The options that aren't among the given ones, section by section."""
    kept: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, dict):
            theirs = given.get(name, {})
            kept[name] = {option: value[option] for option in value if option not in theirs}
        elif name not in given:
            kept[name] = value
    return kept
