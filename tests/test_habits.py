"""What keeps the repository in order: that continuous integration, hooks and `make` check the same."""

import ast
import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def lint_commands() -> list[str]:
    """What ``make lint`` runs."""
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)
    assert recipe is not None
    return [line.strip() for line in recipe[1].splitlines()]


def test_continuous_integration_checks_and_runs_the_slow_tests_too() -> None:
    commands = [line for line in read(".ci/run").splitlines() if line.startswith("make ")]
    assert commands == ["make lint test", 'make test ARGS="-m slow"']


def test_a_commit_is_checked_by_all_that_lint_runs() -> None:
    (repo,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    hooks = {hook["entry"].removeprefix(".venv/bin/").split()[0] for hook in repo["hooks"]}
    assert repo["repo"] == "local"
    assert hooks == {command.split()[0] for command in lint_commands()}


def test_every_dependency_has_a_tested_version() -> None:
    """``make setup`` installs what constraints.txt says: no dependency may be missing there."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(each for extra in extras for each in extra)]
    names = {re.split(r"[\[<>=!~ ;]", each)[0] for each in wanted} - {"charlm"}
    pinned = {line.split("==")[0] for line in read("constraints.txt").splitlines()[1:]}
    assert {canonical(name) for name in names} <= {canonical(name) for name in pinned}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_workflow_has_every_python_that_is_said_to_be_supported() -> None:
    jobs = yaml.safe_load(read(".github/workflows/tests.yml"))["jobs"]
    matrix = jobs["test"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert [system.split("-")[0] for system in matrix["os"]] == ["ubuntu", "macos", "windows"]


def test_every_room_says_in_one_sentence_what_is_in_it() -> None:
    rooms = sorted((ROOT / "charlm").glob("**/__init__.py"))
    assert len(rooms) > 10
    for room in rooms:
        first = room.read_text(encoding="utf-8").split("\n", 1)[0]
        assert re.match(r'""".+[.:]', first), f"{room} doesn't"


# What Windows lacks.
POSIX_ALONE = {"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"}


def test_no_file_needs_what_windows_lacks_to_be_imported() -> None:
    """A test that needs it imports it itself, so that its neighbours run there."""
    files = [
        path for room in ("charlm", "scripts", "tests") for path in (ROOT / room).rglob("*.py")
    ]
    assert len(files) > 200
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # A `try` around an import knows what to do without.
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        named = {alias.name for node in imports for alias in node.names}
        named |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
        assert not named & POSIX_ALONE, path
