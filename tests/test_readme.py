"""What the documents tell a reader to type works, and what they point to is there."""

import importlib.util
import inspect
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.documents import ROOT, Shown, links, shown
from helpers.running import charlm

from charlm.configs import names
from charlm.model import CharLM
from charlm.training.module import CharLMModule

DOCUMENTS = ("README.md", "README.zh.md", "docs/pypi.md")

PROGRAMS = [each for name in DOCUMENTS for each in shown(name) if each.kind == "python"]
# A line that two documents share is run once; without its comment, which may be translated.
COMMANDS = {
    shlex.join(each.words): each
    for name in DOCUMENTS
    for each in shown(name)
    if each.kind == "shell" and each.words
}


@pytest.fixture
def folder(novel: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a reader who has trained, and has a text of his own."""
    checkpoints = tmp_path / "lightning_logs" / "version_0" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for name in ("last.ckpt", "best.ckpt"):
        shutil.copy(checkpoint, checkpoints / name)
    for name, length in (("my.txt", 100_000), ("text.txt", 3000)):
        (tmp_path / name).write_text(novel[:length], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(words: list[str]) -> str:
    """The last command that a ``make`` would run."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", "--no-print-directory", "--dry-run", *words[1:]]
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return os.path.expandvars(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_does_what_it_says(
    command: Shown, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = command.words
    if words[0] == "make":
        if shutil.which("make") is None:
            pytest.skip("there is no make here")
        # As make exports it to what it runs.
        prefix = [word.removeprefix("PREFIX=") for word in words if word.startswith("PREFIX=")]
        monkeypatch.setenv("PREFIX", prefix[0] if prefix else "time traveller")
        words = shlex.split(made(words))
    words = ["last.ckpt" if word == "FILE" else word for word in words]
    shutil.copy(folder / "lightning_logs/version_0/checkpoints/last.ckpt", folder)
    # What takes long is another test's: here, that there is such a program.
    if words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2])
        return
    if words[0] == "tensorboard":
        assert shutil.which(words[0])
        return
    assert words[0] == "charlm", words
    if words[1] == "serve":
        # It serves until it is stopped: here, that it takes these options.
        words.append("--help")
    if words[1] == "fit":
        words += ["--trainer.max_steps", "1"]
    outcome = charlm(*words[1:])
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_runs_as_it_stands(
    program: Shown, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(program.content, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    (text,) = [line for line in printed.splitlines() if line.startswith("time traveller")]
    assert len(text) == len("time traveller") + 100
    if "score(" in program.content:
        assert 1 < float(printed.splitlines()[-1]) < 5


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_a_document_points_to_is_there(name: str) -> None:
    own = [link for link in links(name) if not link.startswith(("https://", "#"))]
    for link in own:
        assert (ROOT / link.split("#")[0]).exists(), link


def test_the_first_link_of_the_readme_is_the_loop_by_hand() -> None:
    assert links("README.md")[0] == "scripts/train_by_hand.py"


def test_the_map_has_every_room_and_nothing_that_isn_t_there() -> None:
    """One clause a line: a room that needs an "and" is two."""
    (tree,) = [each.content for each in shown("README.md") if each.content.startswith("charlm/\n")]
    mapped: list[Path] = []
    parents: list[str] = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, clause = line.strip().partition(" ")
        parents = [*parents[:depth], name]
        path = Path(*parents)
        assert (ROOT / path).exists(), path
        assert (ROOT / path).is_dir() == name.endswith("/")
        assert " and " not in clause
        mapped.append(path)
    rooms = {path.parent.relative_to(ROOT) for path in (ROOT / "charlm").glob("*/__init__.py")}
    assert rooms <= set(mapped)


def test_the_chinese_readme_has_the_figures_of_the_english_one() -> None:
    """The figures of each of its rows stand in the other's row of that configuration and length."""
    english, chinese = (
        {
            (cells[1].split("`")[1], len(cells)): [cell.strip() for cell in cells[2:]]
            for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
            if (cells := line.split("|")) and line.startswith("| `")
        }
        for name in ("README.md", "README.zh.md")
    )
    assert len(chinese) >= 11
    assert chinese.items() <= english.items()


def test_every_decision_is_listed_dated_and_short() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = {path.name for path in folder.glob("*.md")} - {"README.md"}
    assert set(links("docs/decisions/README.md")) == pages
    for page in pages:
        text = (folder / page).read_text(encoding="utf-8")
        title, _, dated = text.split("\n")[:3]
        assert title.startswith("# ")
        assert re.match(r"20\d\d-\d\d-\d\d\. \*.+", dated), page
        assert len(text.splitlines()) <= 50


@pytest.mark.parametrize("name", ["full.md", "full.html"])
def test_the_commands_on_the_reports_page_name_what_is_there(name: str) -> None:
    """The page may be older than a configuration's place, a program's or an option's name."""
    text = (ROOT / "reports" / "exercises" / name).read_text(encoding="utf-8")
    configs = set(re.findall(r"--config ([\w/.-]+\w)", text)) - {"NAME"}
    assert all((ROOT / config).is_file() or config in names() for config in configs)
    modules = set(re.findall(r"python (?:-m )?(\S+) --only", text))
    assert modules == {"scripts.report"}
    options = set(re.findall(r"--model\.(\w+)", text))
    known = {name for kind in (CharLM, CharLMModule) for name in inspect.signature(kind).parameters}
    assert len(options) > 5
    assert options <= known
