"""``docs/own-cell.md`` does what it says, from the file to the export."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.documents import shown
from helpers.running import charlm

from charlm import recurrence
from charlm.checkpoint import load
from charlm.recurrence import bptt

DOCUMENT = "docs/own-cell.md"
FILES = ("leaky", "fast_leaky")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A reader's working folder with the document's files, and on the path for modules."""
    for each in shown(DOCUMENT):
        if each.kind == "python" and (named := re.match(r"# (\w+\.py)\n", each.content)):
            (tmp_path / named[1]).write_text(each.content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in FILES:
        assert (tmp_path / f"{name}.py").is_file()
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(bptt, "UNROLLS", dict(bptt.UNROLLS))
    yield tmp_path
    for name in FILES:
        sys.modules.pop(name, None)


def test_its_programs_run_in_order(folder: Path) -> None:
    for each in shown(DOCUMENT):
        if each.kind == "python":
            exec(compile(each.content, DOCUMENT, "exec"), {"__name__": "reader"})
    fast = importlib.import_module("fast_leaky")
    assert recurrence.fastest(fast.Leaky(4, 6), torch.device("cpu")) == "bptt"

    class Other(fast.Leaky):  # type: ignore[misc, name-defined]
        pass

    assert recurrence.fastest(Other(4, 6), torch.device("cpu")) == "eager"


@pytest.mark.usefixtures("novel")
def test_its_commands_train_resume_generate_score_and_export(folder: Path) -> None:
    commands = [each.words for each in shown(DOCUMENT) if each.kind == "shell"]
    assert [words[1] for words in commands] == ["fit", "fit", "fit", "generate", "score", "export"]
    said = {}
    for words in commands:
        outcome = charlm(*words[1:])
        assert outcome.code == 0, outcome.err
        said[words[1]] = outcome.out
    assert said["generate"].startswith("time traveller")
    model, _ = load(folder / "exported")
    (layer,) = model.cells
    assert type(layer).__name__ == "Leaky"
    assert vars(layer)["keep"] == 0.25
    architecture = json.loads((folder / "exported" / "config.json").read_text(encoding="utf-8"))[
        "architecture"
    ]
    assert architecture["cell"] == "leaky.Leaky"
    (checkpoint,) = folder.glob("lightning_logs/version_0/checkpoints/last.ckpt")
    steps = torch.load(checkpoint, weights_only=True)["global_step"]
    assert steps == 3 * 28
