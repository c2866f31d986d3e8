"""The comparison of the cells: equal parameters, a copy task that is scored right, whole rows."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.cells import CELLS
from scripts.benchmarks import cells


@pytest.mark.parametrize("cell", CELLS)
def test_networks_have_about_as_many_parameters(cell: str) -> None:
    model = cells.of_about(20_000, cell, "uniform", 28)
    assert 14_000 < sum(parameter.numel() for parameter in model.parameters()) <= 20_000


@pytest.mark.parametrize(("reach", "share"), [(14, 1.0), (13, 0.125)])
def test_only_who_remembers_the_word_says_it_again(reach: int, share: float) -> None:
    def says_again(ids_TB: Tensor) -> tuple[Tensor, tuple[()]]:
        """What stood ``reach`` characters before the next one: after 10 dots, the word is 14 before."""
        earlier_TB = F.pad(ids_TB, (0, 0, reach - 1, 0))[: len(ids_TB)]
        return F.one_hot(earlier_TB, len(cells.COPIES)).float(), ()

    random = np.random.default_rng(0)
    assert cells.copied(says_again, 10, random) == pytest.approx(share, abs=0.05 * (share < 1))


def test_the_better_recipe_for_the_novel_is_chosen(
    novel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    none_learned, learned = cells.Recipe("uniform", 1e-9), cells.Recipe("uniform", 3e-3)
    monkeypatch.setattr(cells, "CANDIDATES", [none_learned, learned])
    for_novel, _ = cells.choose("gru", 5_000, 0.5, 0.1)
    assert for_novel == learned


def test_every_cell_has_a_recipe_among_the_candidates() -> None:
    assert list(cells.RECIPES) == list(CELLS)
    assert {recipe for recipes in cells.RECIPES.values() for recipe in recipes} <= set(
        cells.CANDIDATES
    )


def test_each_cell_has_its_row_and_its_line(
    novel: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cells.json"
    sizes = ["--parameters", "5000", "--seconds", "0.3", "--copy_seconds", "0.1"]
    threads = torch.get_num_threads()
    cells.main(["--cells", "rnn", "min_gru", "--seeds", "1", *sizes, "--json", str(path)])
    torch.set_num_threads(threads)
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert [(row["cell"], row["seed"]) for row in rows] == [("rnn", 0), ("min_gru", 0)]
    assert all(1 < row["bits_per_character"] < 5 for row in rows)
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[1] for line in lines[2:]} == {"rnn", "min_gru"}
