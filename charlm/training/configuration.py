"""Configuration files, also as a version up to 0.1 wrote them."""

from typing import Any

import jsonargparse
import yaml

from charlm.cells.options import modernised

# The parser's name for how it reads a file.
MODE = "charlm"


def load(text: str) -> Any:
    """The value of a YAML text; a run's options in today's words (``modernised``)."""
    value = jsonargparse.get_loader("yaml")(text)
    if isinstance(value, dict) and isinstance(value.get("model"), dict):
        return value | {"model": modernised(value["model"])}
    return value


jsonargparse.set_loader(MODE, load, (yaml.YAMLError,))
