"""What can be wrong with a sweep's options is said before its first run starts."""

from argparse import ArgumentError
from typing import Any

from charlm.errors import UserError
from charlm.sweep.space import Space
from charlm.training.command_line import CharLMCLI, run
from charlm.training.failures import told_in_a_sentence


class Parsed(CharLMCLI):
    """The command line, which only reads its options."""

    def instantiate_classes(self) -> None:
        pass

    def _run_subcommand(self, subcommand: str) -> None:
        pass


class Built(CharLMCLI):
    """The command line, which builds model, data and trainer, and doesn't train."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def arguments_of(config: str | None, options: dict[str, str]) -> list[str]:
    """Those of ``charlm fit``."""
    base = [] if config is None else ["--config", config]
    return ["fit", *base, *(f"--{name}={value}" for name, value in options.items())]


def check(config: str | None, space: Space, needs_test: bool) -> None:
    """Read every value that the search may choose, and build one run.

    Raises:
        UserError: an option that doesn't exist, a value that it doesn't take, options that don't
            go together in the first combination, a Trainer that writes no files, or no text held
            out to measure on.
    """
    first = {name: values.ends[0] for name, values in space.searched.items()}
    line = read(config, space.fixed | first, None)
    check_files(line.config["fit"]["trainer"])
    for name, values in space.searched.items():
        for value in values.ends:
            line = read(config, space.fixed | first | {name: value}, line)
    quiet = {"trainer.logger": "false", "trainer.enable_progress_bar": "false"}
    built = run(arguments_of(config, space.fixed | first | quiet), kind=Built)
    data: Any = built.datamodule
    if not len(data.split.val):
        raise UserError("There is no validation text to search by: give --data.val_size 0.1.")
    if needs_test and not len(data.split.test):
        raise UserError(
            "There is no text that the search doesn't see: give --data.test_size 0.1, or "
            "--fresh_seeds 0 to do without honest figures."
        )


def check_files(trainer: Any) -> None:
    """Raise a UserError where the Trainer wouldn't write what a sweep reads."""
    if trainer["logger"] not in (None, True) or trainer["enable_checkpointing"] is False:
        raise UserError(
            "A sweep goes by the files of its runs, their metrics.csv and best.ckpt: leave out "
            "trainer.logger and trainer.enable_checkpointing."
        )


def read(config: str | None, options: dict[str, str], line: CharLMCLI | None) -> CharLMCLI:
    """Read options by a command line, which takes half as long with one that was made before."""
    arguments = arguments_of(config, options)
    try:
        if line is None:
            return run(arguments, kind=Parsed)
        with told_in_a_sentence():
            line.parse_arguments(line.parser, arguments)
        return line
    except ArgumentError as mistake:
        reason = " ".join(str(mistake).split())
        raise UserError(
            f"{reason} (`charlm fit --help` lists the options of a run; a list gives an option's "
            "values one by one: '[[128], [256]]' for --model.hidden_sizes)."
        ) from mistake
