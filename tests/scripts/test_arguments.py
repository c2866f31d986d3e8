"""Mistakes on the scripts' command lines are told before anything is run."""

import sys
from pathlib import Path

import pytest

from scripts.benchmarks import __main__ as benchmark
from scripts.benchmarks import cells, rtrl_cost
from scripts.leaderboard import __main__ as leaderboard
from scripts.report import __main__ as report

MISTAKES = [
    (leaderboard, "--seconds 0", "--seconds: 0 isn't a number above zero"),
    (leaderboard, "--seconds nan", "--seconds: nan isn't a number above zero"),
    (leaderboard, "--seeds -1", "--seeds: -1 isn't a whole number above zero"),
    (leaderboard, "--threads two", "--threads: two isn't a whole number above zero"),
    (leaderboard, "--fit max_epochs", "--fit: max_epochs isn't OPTION=VALUE"),
    (leaderboard, "--config nothing", "There is no configuration nothing"),
    (leaderboard, "--config own-text --only torch-lstm", "no model.hidden_sizes"),
    (leaderboard, "--seconds 7 --output .", "7-seconds.json holds no results of a leaderboard"),
    (cells, "--seeds 0", "--seeds: 0 isn't a whole number above zero"),
    (cells, "--copy_seconds inf", "--copy_seconds: inf isn't a number above zero"),
    (cells, "--json nowhere/rows.json", "--json: nowhere/rows.json isn't a file in a folder"),
    (benchmark, "--rounds 1", "a spread needs two rounds"),
    (benchmark, "--rounds 2.5", "--rounds: 2.5 isn't a whole number above zero"),
    (benchmark, "--seconds -3", "--seconds: -3 isn't a number above zero"),
    (benchmark, "--json .", "--json: . isn't a file in a folder"),
    (benchmark, "--compare nothing.json", "nothing.json can't be read"),
    (rtrl_cost, "--repeats 0", "--repeats: 0 isn't a whole number above zero"),
    (report, "--epochs 0", "--epochs: 0 isn't a whole number above zero"),
    (report, "--jobs 0", "--jobs: 0 isn't a whole number above zero"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "words", "told"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_mistake_is_told_in_a_sentence(
    script: object,
    words: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("7-seconds.json").write_text('{"rows": 3}', encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["script", *words.split()])
    try:
        code = script.main()  # type: ignore[attr-defined]
    except SystemExit as stop:
        code = stop.code
    assert code in (1, 2)
    *_, last = capsys.readouterr().err.splitlines()
    assert told in last
    assert [path.name for path in tmp_path.iterdir()] == ["7-seconds.json"]
