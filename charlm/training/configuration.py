"""Configuration files, also as a version up to 0.1 wrote them."""

from typing import Any

import jsonargparse
import yaml

from charlm.cells.options import modernised

# The parser's name for how it reads a file.
MODE = "charlm"
# Where a class of that version stands that a run's options may name.
MOVED = {
    f"charlm.{old}.{name}": f"charlm.training.{new}.{name}"
    for old, new, names in (
        ("callbacks", "callbacks", "CarriedState HyperParameters"),
        ("callbacks", "callbacks", "RunProgressBar TextSamples Throughput"),
        ("gradient_flow", "callbacks", "GradientFlow"),
        ("resuming", "callbacks", "ExactResume"),
        ("saving", "callbacks", "BestCheckpoint LastCheckpoint"),
        ("saving", "resume.whole_files", "WholeFiles"),
        ("runs", "logger", "RunLogger"),
    )
    for name in names.split()
}


def in_todays_words(options: Any) -> Any:
    """A run's options, or a part of them, whichever version wrote them."""
    options = _moved(options)
    if isinstance(options, dict) and isinstance(options.get("model"), dict):
        return options | {"model": modernised(options["model"])}
    return options


def _moved(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _moved(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_moved(part) for part in value]
    if isinstance(value, str):
        # Also an argument of the command line, `--option=value`.
        option, equals, name = value.rpartition("=")
        return f"{option}{equals}{MOVED.get(name, name)}"
    return value


def load(text: str) -> Any:
    """The value of a YAML text, ``in_todays_words``."""
    return in_todays_words(jsonargparse.get_loader("yaml")(text))


jsonargparse.set_loader(MODE, load, (yaml.YAMLError,))
