"""Lists and ranges are read from the command line; what makes no sense is said."""

import pytest

from charlm.errors import UserError
from charlm.sweep.space import Choices, Range, read_space

RATE = "model.learning_rate"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[0.1, 1e-3]", Choices(("0.1", "0.001"))),
        ("[[128], [256, 256]]", Choices(("[128]", "[256, 256]"))),
        ("[lstm, gru]", Choices(("lstm", "gru"))),
        ("[true, null]", Choices(("true", "null"))),
        ("uniform(0, 0.5)", Range(0, 0.5, log=False, whole=False)),
        ("log(1e-3, 3e-1)", Range(1e-3, 0.3, log=True, whole=False)),
        ("integers(1, 4)", Range(1, 4, log=False, whole=True)),
        ("log_integers(32,512)", Range(32, 512, log=True, whole=True)),
    ],
)
def test_lists_and_ranges(text: str, values: Choices | Range) -> None:
    space = read_space([f"{RATE}={text}", "trainer.max_epochs=3"])
    assert space.searched == {RATE: values}
    assert space.fixed == {"trainer.max_epochs": "3"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([f"{RATE}=log(0, 1)"], "above 0"),
        ([f"{RATE}=uniform(1, 1)"], "is empty"),
        ([f"{RATE}=uniform(0, nan)"], "is empty"),
        ([f"{RATE}=log(1)"], "two numbers"),
        ([f"{RATE}=log(a, b)"], "two numbers"),
        ([f"{RATE}=integers(1, 2.5)"], "whole numbers"),
        (["model.hidden_sizes=[256]"], "nothing to search"),
        ([f"{RATE}=[1, 1]"], "twice"),
        ([f"{RATE}=[1, 2]", f"{RATE}=3"], "given twice"),
        ([f"{RATE}=1"], "nothing to search"),
        (["data.val_size=[0.1, 0.2]"], "different texts"),
        ([f"{RATE}=[1, 2]", "trainer.default_root_dir=x"], "set by the sweep"),
        (["learning_rate"], "no option of a run"),
    ],
)
def test_what_makes_no_sense_is_said(options: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_space(options)


def test_a_grid_is_every_combination() -> None:
    space = read_space(["model.cell=[rnn, gru]", f"{RATE}=[1, 2]"])
    combinations = [tuple(each.values()) for each in space.grid()]
    assert combinations == [("rnn", "1"), ("rnn", "2"), ("gru", "1"), ("gru", "2")]
    with pytest.raises(UserError, match="a grid can't"):
        read_space([f"{RATE}=log(1, 2)"]).grid()
