"""The notebook runs as it stands, cell by cell, but for its two minutes of training."""

import json
import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from helpers.documents import ROOT

NOTEBOOK = ROOT / "docs" / "rnn-scratch.ipynb"
TRAINING = '{"minutes": 2}'


def cells() -> list[dict[str, Any]]:
    return list(json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"])


@pytest.mark.usefixtures("novel")
def test_every_cell_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")
    programs = ["".join(cell["source"]) for cell in cells() if cell["cell_type"] == "code"]
    assert sum(TRAINING in program for program in programs) == 1
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, program in enumerate(programs):
        short = program.replace(TRAINING, '{"seconds": 2}')
        exec(compile(short, f"{NOTEBOOK.name}, cell {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert "largest difference: 0" in printed or "e-0" in printed
    assert "does the second batch go on? True" in printed
    assert "time traveller" in printed
    assert 0 < names["scored"].bits_per_character < 2 * math.log2(28)
    lines = names["axes"].get_lines()
    assert [line.get_label() for line in lines] == ["train/perplexity", "val/perplexity"]
    mpl.pyplot.close("all")


def test_it_is_small_and_holds_no_output() -> None:
    """What a run leaves in it would be another file at each commit."""
    assert NOTEBOOK.stat().st_size < 20_000
    for cell in cells():
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    steps = [
        "".join(cell["source"]).split("\n")[0].removeprefix("## ")
        for cell in cells()
        if cell["cell_type"] == "markdown" and cell["source"][0].startswith("## ")
    ]
    expected = "Read a batch, Look at a cell, Train two minutes, Plot, Generate, Score, Go on"
    assert ", ".join(steps) == expected
