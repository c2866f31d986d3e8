"""Configuration files, also as a version up to 0.1 wrote them."""

import os
from pathlib import Path
from typing import Any

import jsonargparse
import yaml

from charlm.cells.options import modernised
from charlm.errors import UserError

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


# What the command line sets by another option, or by the text.
SET_BY = {
    ("data", "seed"): "seed_everything",
    ("model", "vocabulary"): "the text",
    ("model", "num_characters"): "the text",
}


class OnceEach(yaml.SafeLoader):
    """YAML in which no name stands twice: the last would count, and the others be lost unsaid."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for place, name in enumerate(names):
            if name in names[:place]:
                mark = node.value[place][0].start_mark
                raise yaml.MarkedYAMLError(None, None, f"{name} stands there twice", mark)
        return super().construct_mapping(node, deep)


def read_configuration(path: str | os.PathLike[str]) -> str:
    """The text of a configuration file, which is UTF-8 whatever the machine's own encoding.

    Raises:
        UserError: it isn't UTF-8 or YAML, has a name twice, no options, or one that is set otherwise.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        options = yaml.load(text, OnceEach)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: save the configuration as UTF-8.") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        line = f", line {where.line + 1}" if where else ""
        raise UserError(f"{path}{line}: {problem}; it must be YAML.") from error
    if not isinstance(options, dict):
        what = "is empty" if options is None else "holds no options by their names"
        raise UserError(
            f"{path} {what}: a configuration has sections such as data, model and trainer."
        )
    for (section, name), setter in SET_BY.items():
        given = options.get(section)
        if isinstance(given, dict) and name in given:
            raise UserError(f"{path}: {section}.{name} is set by {setter}; leave it out.")
    # A section without options is none: to jsonargparse, a file of such sections holds a string.
    return text if any(given is not None for given in options.values()) else "{}"


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
