"""A model sized by its text's length: the rule, its refusals, a run by the command line."""

from pathlib import Path
from typing import Any

import pytest
from helpers.running import CONFIGS, charlm, small_data, small_module
from hypothesis import given
from hypothesis import strategies as st

from charlm.checkpoint import load, read
from charlm.errors import UserError
from charlm.training.sizing import CHARACTERS, MOST, sizing

LENGTHS = st.integers(1_000, 10**9)


@given(LENGTHS, LENGTHS)
def test_of_a_longer_text_less_is_dropped_and_it_is_read_less_often(a: int, b: int) -> None:
    short, long = (sizing("auto", n) for n in sorted((a, b)))
    assert MOST >= short.weight_drop >= long.weight_drop >= 0
    assert short.architecture["output_dropout"] >= long.architecture["output_dropout"]
    assert short.characters <= long.characters <= CHARACTERS
    assert short.characters / min(a, b) >= long.characters / max(a, b) - 1e-9


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": "huge"}, "Unknown size 'huge'"),
        ({"size": "auto"}, "give model.num_characters"),
        (
            {"size": "auto", "num_characters": 10**6, "hidden_sizes": [17]},
            r"hidden_sizes is \[17\]",
        ),
        ({"size": "auto", "num_characters": 10**5, "weight_drop": 0.1}, "weight_drop is 0.1"),
    ],
)
def test_what_contradicts_the_rule_is_refused(
    novel: str, options: dict[str, Any], told: str
) -> None:
    data = small_data()
    with pytest.raises(UserError, match=told):
        small_module(data, **{"hidden_sizes": [512]} | options)


def test_a_run_is_as_long_as_the_rule_says_and_its_checkpoint_says_what_was_chosen(
    novel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charlm.training.sizing.READINGS", 1)
    text = tmp_path / "own.txt"
    text.write_text(novel[:4000], encoding="utf-8")
    root = ("--trainer.default_root_dir", tmp_path)
    batches = ("--data.num_lanes", 4, "--data.num_steps", 30)
    outcome = charlm(
        "fit", "--config", CONFIGS / "own-text.yaml", "--data.path", text, *root, *batches
    )
    assert outcome.code == 0, outcome.err
    last = next(tmp_path.rglob("last.ckpt"))
    content = read(last)
    assert content["global_step"] == 30
    assert content["hyper_parameters"]["weight_drop"] == MOST
    assert content["hyper_parameters"]["hidden_sizes"] == [256]
    assert load(last).model.output_dropout.p == MOST
    # It is finished, and goes on where it is given more.
    again = charlm("fit", "--ckpt_path", last, "--trainer.max_steps", 32)
    assert again.code == 0, again.err
    assert read(last)["global_step"] == 32
