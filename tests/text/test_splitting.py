"""A text divided into three parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import UserError
from charlm.text.splitting import split

SIZES = st.one_of(st.integers(0, 60), st.floats(0, 1, exclude_max=True))


@given(st.integers(1, 200), SIZES, SIZES)
def test_a_split_loses_nothing_and_shares_nothing(
    num_characters: int, val_size: float, test_size: float
) -> None:
    try:
        parts = split(num_characters, val_size, test_size)
    except UserError:
        return
    assert [place for part in parts for place in part] == list(range(num_characters))
    assert len(parts.train) > 0
    for part, size in ((parts.val, val_size), (parts.test, test_size)):
        wanted = size if isinstance(size, int) else size * num_characters
        assert abs(len(part) - wanted) <= 0.5
        assert (len(part) > 0) == (size > 0)


def test_a_split_in_fractions_and_counts() -> None:
    assert split(100, 0.1, 0.29) == (range(61), range(61, 71), range(71, 100))
    assert split(100, 10, 0) == (range(90), range(90, 100), range(100, 100))
    assert split(1, 0, 0.0) == (range(1), range(1, 1), range(1, 1))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0.01, 0), "val_size=0.01 of 20 characters is less than one"),
        ((0, 0.02), "test_size=0.02 of 20 characters is less than one"),
        ((0.5, 0.5), "Nothing is left to train on: of 20 characters, val_size=0.5 holds out 10"),
        ((20, 0), "Nothing is left to train on"),
        ((1000, 0), "Nothing is left to train on: .* holds out 1,000"),
        ((-1, 0), "val_size=-1 is below zero"),
        ((0, -0.1), r"test_size=-0.1 is no fraction in \[0, 1\)"),
        ((1.0, 0), "val_size=1.0 is no fraction"),
        ((float("nan"), 0), "val_size=nan is no fraction"),
    ],
)
def test_a_split_that_leaves_a_part_empty_is_refused(
    sizes: tuple[float, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        split(20, *sizes)
