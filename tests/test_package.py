"""The Python face: what ``import charlm`` offers, and what it costs."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.running import charlm as command

import charlm
from charlm.cli import USAGE
from charlm.configs import names


def python(program: str) -> str:
    """What a new process prints."""
    run = [sys.executable, "-c", program]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout


def test_the_package_lists_what_it_offers_alone() -> None:
    assert dir(charlm) == sorted(charlm.__all__)
    for name in charlm.__all__:
        offered = getattr(charlm, name)
        assert inspect.isclass(offered) or inspect.isfunction(offered)
        assert offered.__name__ == name
        assert offered.__doc__


def test_the_list_for_readers_of_types_is_the_list() -> None:
    """The imports that a type checker sees, and the table that is used."""
    source = Path(charlm.__file__).read_text(encoding="utf-8")
    checked = source.split("if TYPE_CHECKING:\n")[1].split("\n\n")[0]
    homes = {}
    for line in checked.splitlines():
        _, module, _, name, _, again = line.split()
        assert name == again
        homes[name] = module.removeprefix("charlm.")
    assert homes == charlm._HOME


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Transformer'"):
        _ = charlm.Transformer  # type: ignore[attr-defined]


def test_importing_the_package_loads_no_torch() -> None:
    modules = "import json, sys, charlm; print(json.dumps([*sys.modules]))"
    loaded = set(json.loads(python(modules)))
    assert not loaded & {"torch", "numpy", "lightning"}


def test_what_generates_and_scores_loads_no_lightning() -> None:
    program = (
        "import json, sys; from charlm import generate, load, score, RNN, unroll, CharLM;"
        "import charlm.commands.generate;"
        "print(json.dumps([*sys.modules]))"
    )
    loaded = set(json.loads(python(program)))
    heavy = {"lightning", "torchmetrics", "tensorboard", "matplotlib", "pandas", "onnx"}
    assert "torch" in loaded
    assert not loaded & heavy


def test_the_version_is_the_distribution_s() -> None:
    outcome = command("--version")
    assert (outcome.code, outcome.out) == (0, f"charlm {charlm.__version__}\n")


def test_the_usage_names_nothing_that_isn_t_there() -> None:
    """A user of the wheel has no checkout: configurations are named by their names."""
    given = USAGE.split("--config ")[1].split()[0]
    assert given in names()
    assert "charlm/" not in USAGE
    assert ".yaml" not in USAGE
