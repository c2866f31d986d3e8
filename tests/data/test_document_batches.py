"""Shuffled documents in lanes, and orders that are computed instead of stored."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.data.batch import begins, take
from charlm.data.documents import BLOCK, DocumentSampler, document_bounds
from charlm.data.permutation import Permutation
from charlm.errors import UserError


@given(st.integers(1, 3000), st.integers(0, 99))
def test_a_permutation_has_each_number_once(size: int, seed: int) -> None:
    order = Permutation(size, np.random.default_rng(seed))
    places = np.arange(size)
    assert sorted(order(places)) == list(places)
    np.testing.assert_array_equal(order(places[::-1]), order(places)[::-1])


def test_every_number_is_as_likely_at_every_place() -> None:
    counts = np.zeros((5, 5))
    for seed in range(2000):
        counts[np.arange(5), Permutation(5, np.random.default_rng(seed))(np.arange(5))] += 1
    # Four standard deviations of a binomial with n = 2000 and p = 1/5.
    assert np.abs(counts - 400).max() < 4 * np.sqrt(2000 * 0.2 * 0.8)


@given(
    st.lists(st.integers(1, 9), min_size=12, max_size=700),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(0, 9),
)
def test_an_epoch_is_every_document_in_another_order(
    lengths: list[int], num_lanes: int, num_steps: int, epoch: int
) -> None:
    # Document d has the mark 0, then its own characters, all different.
    ids = np.arange(sum(lengths) + len(lengths) + 1)
    marks = np.append(0, np.cumsum(np.array(lengths) + 1))
    text = ids.copy()
    text[marks] = 0
    bounds = document_bounds(text, 0)
    np.testing.assert_array_equal(bounds, marks)
    if len(ids) - 1 < num_lanes * num_steps:
        with pytest.raises(UserError, match="too short"):
            DocumentSampler(bounds, num_lanes, num_steps)
        return
    sampler = DocumentSampler(bounds, num_lanes, num_steps, seed=3)
    rows = [sampler.places(epoch, k) for k in range(len(sampler))]
    order = np.concatenate([np.concatenate([row[:-1, lane] for row in rows])
                            for lane in range(num_lanes)])  # fmt: skip
    # Nothing twice, and nothing lost but a tail of fewer than B·T characters.
    assert len(set(order)) == len(order)
    assert len(ids) - 1 - len(order) < num_lanes * num_steps
    # Within a document one place follows the other; each next one is a document's beginning.
    for place, following in itertools.pairwise(order):
        assert following == place + 1 or following in marks
    for before, row in itertools.pairwise(rows):
        np.testing.assert_array_equal(before[-1], row[0])
    # A function of epoch and index alone.
    fresh = DocumentSampler(bounds, num_lanes, num_steps, seed=3)
    fresh.places(epoch + 1, 0)
    np.testing.assert_array_equal(fresh.places(epoch, len(rows) - 1), rows[-1])
    # A document begins where its mark is read.
    inputs_TB, targets_TB = take(text, rows[0])
    begins_TB = begins(inputs_TB, 0)
    is_mark = np.isin(rows[0][:-1], marks)
    assert (begins_TB is None) == (not is_mark.any())
    assert begins_TB is None or (begins_TB.numpy() == is_mark).all()
    # The target is the next character of the document, or a mark that ends it.
    inside = ~np.isin(rows[0][1:], marks)
    assert (targets_TB.numpy()[inside] == inputs_TB.numpy()[inside] + 1).all() or is_mark.any()


def test_orders_differ_by_epoch_and_documents_are_many() -> None:
    bounds = np.arange(0, 5 * (3 * BLOCK + 1), 5)
    sampler = DocumentSampler(bounds, 2, 5)
    firsts = {tuple(sampler.places(epoch, 0).T.flatten()) for epoch in range(5)}
    assert len(firsts) == 5


def test_a_text_without_a_whole_document_is_refused() -> None:
    with pytest.raises(UserError, match="no whole document"):
        document_bounds(np.array([1, 1, 0, 2]), 0)
