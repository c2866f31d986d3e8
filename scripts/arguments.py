"""What the scripts' command lines take, as types for ``argparse``, which tells the mistake."""

import argparse
import math
from pathlib import Path


def count(text: str) -> int:
    """A whole number, at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} isn't a whole number above zero")
    return number


def amount(text: str) -> float:
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} isn't a number above zero")
    return number


def new_file(text: str) -> Path:
    """A file that can be written in a folder that is there: said before an hour's work, not after."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text} isn't a file in a folder that is there")
    return path


def setting(text: str) -> list[str]:
    """The words of an option of ``charlm fit`` given as OPTION=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text} isn't OPTION=VALUE")
    return [f"--{name.removeprefix('--')}", value]
