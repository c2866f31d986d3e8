"""Which values a search may give the options of a run: lists and ranges, read from the command line.

    [0.1, 1]              one of a list
    uniform(0, 0.5)       a number between two
    log(1e-3, 3e-1)       the same, each order of magnitude equally likely
    integers(1, 4)        a whole number, both ends included
    log_integers(32, 512)

Any other value, and a list of one, is the same in all runs.
"""

import itertools
import json
import math
import re
from dataclasses import dataclass
from typing import Any

import yaml

from charlm.errors import UserError

RANGE = re.compile(r"(uniform|log|integers|log_integers)\((.*)\)", re.DOTALL)
# What differs between these would not be the options but the text that is measured on.
OF_THE_MEASURE = (
    "data.corpus",
    "data.path",
    "data.fallback",
    "data.max_chars",
    "data.val_size",
    "data.test_size",
    "data.normalisation",
    "data.tokenization",
)
# The sweep sets these itself.
OF_THE_SWEEP = ("trainer.default_root_dir", "trainer.logger", "trainer.enable_progress_bar")


@dataclass(frozen=True)
class Choices:
    """A list: its values as they stand on a command line."""

    values: tuple[str, ...]

    @property
    def ends(self) -> tuple[str, ...]:
        """Values with which all others are valid."""
        return self.values


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high``.

    Raises:
        UserError: there is none, or a logarithm would be taken of zero or less.
    """

    low: float
    high: float
    log: bool
    whole: bool

    @property
    def ends(self) -> tuple[str, ...]:
        return str(self.low), str(self.high)


@dataclass(frozen=True)
class Space:
    """The options of all runs of a sweep.

    Args:
        fixed: those that are the same in all, by name, as they stand on a command line.
        searched: those that the search chooses.
    """

    fixed: dict[str, str]
    searched: dict[str, Choices | Range]

    def grid(self) -> list[dict[str, str]]:
        """All combinations, the last option changing fastest.

        Raises:
            UserError: a range has no end of them.
        """
        for name, values in self.searched.items():
            if isinstance(values, Range):
                raise UserError(
                    f"--{name} is a range, of which a grid can't try every value: give a list, or "
                    "another --sampler."
                )
        lists = [values.values for values in self.searched.values() if isinstance(values, Choices)]
        return [
            dict(zip(self.searched, chosen, strict=True)) for chosen in itertools.product(*lists)
        ]


def read_space(options: list[str]) -> Space:
    """The space that ``NAME=VALUE``, ... describe.

    Raises:
        UserError: a range or a list that makes no sense; an option that the sweep sets itself, or
            that would have runs measured on different texts.
    """
    fixed: dict[str, str] = {}
    searched: dict[str, Choices | Range] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or "." not in name:
            raise UserError(f"{option} is no option of a run: write --model.learning_rate VALUE.")
        if name in fixed or name in searched:
            raise UserError(f"--{name} is given twice.")
        if name in OF_THE_SWEEP:
            raise UserError(f"--{name} is set by the sweep: leave it out (see --folder).")
        values = read_values(name, value)
        if values is None:
            fixed[name] = value
        elif name in OF_THE_MEASURE:
            raise UserError(
                f"--{name} can't be searched: runs on different texts can't be compared; give it "
                "one value."
            )
        else:
            searched[name] = values
    if not searched:
        raise UserError(
            "There is nothing to search: give an option a list or a range, such as "
            "--model.learning_rate 'log(1e-3, 3e-1)'."
        )
    return Space(fixed, searched)


def read_values(name: str, text: str) -> Choices | Range | None:
    """A list or a range; None where it is a single value.

    Raises:
        UserError: see ``read_space``.
    """
    text = text.strip()
    if match := RANGE.fullmatch(text):
        return read_range(name, text, *match.groups())
    value = plain(text)
    # A list of one, such as hidden_sizes [256], is a value.
    if not isinstance(value, list) or len(value) < 2:
        return None
    values = tuple(each if isinstance(each, str) else json.dumps(each) for each in value)
    if len(set(values)) < len(values):
        raise UserError(f"--{name} {text} has a value twice.")
    return Choices(values)


def read_range(name: str, text: str, kind: str, arguments: str) -> Range:
    try:
        low, high = (float(end) for end in arguments.split(","))
    except ValueError as error:
        raise UserError(
            f"--{name} {text}: a range has two numbers, such as {kind}(1, 10)."
        ) from error
    whole, log = kind.endswith("integers"), kind.startswith("log")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"--{name} {text} is empty: the first number must be the lower one.")
    if log and low <= 0:
        raise UserError(f"--{name} {text}: a logarithm needs numbers above 0.")
    if whole:
        if not (low.is_integer() and high.is_integer()):
            raise UserError(f"--{name} {text}: its ends must be whole numbers.")
        return Range(int(low), int(high), log, whole)
    return Range(low, high, log, whole)


def plain(text: str) -> Any:
    """The value that a text on the command line means, in plain types."""
    try:
        # YAML takes 1e-3 for a word.
        return json.loads(text)
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text
