"""Which characters form a batch: laws that hold for every text length, lanes, steps and seed."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.data.batch import IGNORED, gather
from charlm.data.held_out import HeldOut
from charlm.data.samplers import LaneSampler, Sampler, WindowSampler
from charlm.errors import UserError

SAMPLERS = (LaneSampler, WindowSampler)


@st.composite
def sampler(draw: st.DrawFn, classes: tuple[type[Sampler], ...] = SAMPLERS) -> Sampler:
    num_lanes = draw(st.integers(1, 7))
    num_steps = draw(st.integers(1, 9))
    least = (num_lanes + 1) * num_steps
    num_characters = draw(st.integers(least, least + 300))
    return draw(st.sampled_from(classes))(
        num_characters, num_lanes, num_steps, draw(st.integers(0, 99))
    )


epochs = st.integers(0, 1000)


@given(sampler(), epochs)
def test_no_character_is_trained_on_twice_in_an_epoch_and_none_lies_outside(
    sampler: Sampler, epoch: int
) -> None:
    targets = [
        start + 1 + step
        for k in range(len(sampler))
        for start in sampler.starts(epoch, k)
        for step in range(sampler.num_steps)
    ]
    assert len(targets) == len(sampler) * sampler.num_lanes * sampler.num_steps
    assert len(set(targets)) == len(targets)
    assert min(targets) >= 1
    assert max(targets) < sampler.num_characters


@given(sampler((LaneSampler,)), epochs)
def test_a_lane_begins_where_it_ended_in_the_batch_before(sampler: Sampler, epoch: int) -> None:
    assert not sampler.continues(0)
    for k in range(1, len(sampler)):
        assert sampler.continues(k)
        before = sampler.starts(epoch, k - 1)
        np.testing.assert_array_equal(sampler.starts(epoch, k), before + sampler.num_steps)


@given(
    st.integers(1, 5), st.integers(1, 9), st.integers(0, 300), epochs, st.integers(0, 99), st.data()
)
def test_borders_that_jitter_leave_nothing_out_and_repeat_nothing(
    num_lanes: int, num_steps: int, more: int, epoch: int, seed: int, data: st.DataObject
) -> None:
    jitter = data.draw(st.integers(0, (num_steps - 1) // 2))
    num_characters = (num_lanes + 1) * num_steps + more
    sampler = LaneSampler(num_characters, num_lanes, num_steps, seed, jitter)
    even = LaneSampler(num_characters, num_lanes, num_steps, seed)
    batches = [sampler.places(epoch, k) for k in range(len(sampler))]
    assert len(sampler) == len(even)
    np.testing.assert_array_equal(batches[0][0], even.places(epoch, 0)[0])
    np.testing.assert_array_equal(batches[-1][-1], even.places(epoch, len(even) - 1)[-1])
    for before, after in itertools.pairwise(batches):
        np.testing.assert_array_equal(before[-1], after[0])
    for places in batches:
        assert abs(len(places) - 1 - num_steps) <= 2 * jitter
        assert (np.diff(places, axis=0) == 1).all()
    again = LaneSampler(num_characters, num_lanes, num_steps, seed, jitter)
    k = data.draw(st.integers(0, len(sampler) - 1))
    np.testing.assert_array_equal(again.places(epoch, k), batches[k])


def test_borders_that_jitter_are_others_in_each_epoch() -> None:
    sampler = LaneSampler(10_000, 2, 20, jitter=5)
    lengths = [
        tuple(len(sampler.places(epoch, k)) for k in range(len(sampler))) for epoch in range(3)
    ]
    assert len(set(lengths)) == 3
    assert len(set(lengths[0])) > 8


@pytest.mark.parametrize("jitter", [-1, 10])
def test_a_jitter_that_leaves_a_batch_empty_is_refused(jitter: int) -> None:
    with pytest.raises(
        UserError, match=f"num_steps_jitter is {jitter}: with 20 steps .* at most 9"
    ):
        LaneSampler(10_000, 2, 20, jitter=jitter)


@given(sampler((WindowSampler,)), epochs)
def test_windows_lie_on_one_grid_and_never_continue(sampler: Sampler, epoch: int) -> None:
    starts = np.concatenate([sampler.starts(epoch, k) for k in range(len(sampler))])
    assert len(set(starts % sampler.num_steps)) == 1
    assert not any(sampler.continues(k) for k in range(len(sampler)))


@given(sampler(), epochs, st.randoms(use_true_random=False))
def test_a_batch_is_a_function_of_seed_epoch_and_index_alone(
    sampler: Sampler, epoch: int, random: object
) -> None:
    fresh = type(sampler)(
        sampler.num_characters, sampler.num_lanes, sampler.num_steps, sampler.seed
    )
    asked = [(e, k) for e in (epoch, epoch + 1) for k in range(len(sampler))]
    before = {place: sampler.starts(*place) for place in asked}
    random.shuffle(asked)  # type: ignore[attr-defined]
    for place in asked:
        np.testing.assert_array_equal(fresh.starts(*place), before[place])


@pytest.mark.parametrize("kind", SAMPLERS)
def test_epochs_and_seeds_differ(kind: type[Sampler]) -> None:
    def first(epoch: int, seed: int) -> tuple[int, ...]:
        return tuple(kind(10_000, 32, 35, seed).starts(epoch, 0))

    assert len({first(epoch, 0) for epoch in range(10)}) > 5
    assert len({first(0, seed) for seed in range(10)}) > 5


@pytest.mark.parametrize("kind", SAMPLERS)
def test_every_offset_of_an_epoch_is_within_the_window(kind: type[Sampler]) -> None:
    offsets = {int(kind(10_000, 2, 5).starts(epoch, 0).min()) % 5 for epoch in range(100)}
    assert offsets == set(range(5))


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_shortest_text_is_the_one_that_the_message_says(kind: type[Sampler]) -> None:
    assert len(kind(33 * 35, 32, 35)) == 1
    with pytest.raises(UserError, match=r"at least 1,155\b"):
        kind(33 * 35 - 1, 32, 35)


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize(("lanes", "steps", "name"), [(0, 5, "num_lanes"), (5, -1, "num_steps")])
def test_sizes_below_one_are_refused_by_name(
    kind: type[Sampler], lanes: int, steps: int, name: str
) -> None:
    with pytest.raises(UserError, match=f"{name} is"):
        kind(1000, lanes, steps)


def test_the_book_s_run_has_eight_batches_an_epoch() -> None:
    assert len(LaneSampler(10_000, 32, 35)) == 8


@given(sampler(), epochs)
def test_targets_are_the_inputs_moved_by_one(sampler: Sampler, epoch: int) -> None:
    ids = np.arange(sampler.num_characters)
    inputs_TB, targets_TB = gather(ids, sampler.starts(epoch, 0), sampler.num_steps)
    assert inputs_TB.shape == (sampler.num_steps, sampler.num_lanes)
    np.testing.assert_array_equal(inputs_TB[0], sampler.starts(epoch, 0))
    np.testing.assert_array_equal(targets_TB, inputs_TB + 1)
    np.testing.assert_array_equal(inputs_TB[1:], targets_TB[:-1])


@given(st.integers(2, 300), st.integers(1, 12), st.integers(1, 40))
def test_each_held_out_character_after_the_first_is_a_target_once(
    num_characters: int, num_lanes: int, num_steps: int
) -> None:
    held_out = HeldOut(np.arange(num_characters), num_lanes, num_steps)
    batches = [held_out.batch(k) for k in range(len(held_out))]
    seen = np.concatenate([batch.targets_TB[batch.targets_TB != IGNORED] for batch in batches])
    np.testing.assert_array_equal(np.sort(seen), np.arange(1, num_characters))
    for k, (inputs_TB, targets_TB, continues, *_) in enumerate(batches):
        real = targets_TB != IGNORED
        np.testing.assert_array_equal(targets_TB[real], inputs_TB[real] + 1)
        assert continues == (k > 0)
    # Each lane is one stretch of the text, from its first batch to its last.
    for lane in range(batches[0].inputs_TB.shape[1]):
        column = np.concatenate([batch.targets_TB[:, lane] for batch in batches])
        column = column[column != IGNORED]
        np.testing.assert_array_equal(column, np.arange(column[0], column[0] + len(column)))


@given(st.integers(2, 3000), st.integers(1, 40), st.integers(1, 30))
@settings(max_examples=30)
def test_windows_are_read_from_their_own_beginning_each_target_once(
    num_characters: int, window: int, num_steps: int
) -> None:
    held_out = HeldOut(np.arange(num_characters), 1, num_steps, window)
    seen = []
    for k in range(len(held_out)):
        batch, places_TB = held_out.batch(k), held_out.places(k)
        real = places_TB >= 0
        np.testing.assert_array_equal(batch.targets_TB[real], places_TB[real])
        np.testing.assert_array_equal(batch.inputs_TB[real], places_TB[real] - 1)
        assert (batch.targets_TB[~real] == IGNORED).all()
        # A batch that doesn't go on begins windows.
        first = (places_TB[0][real[0]] - 1) % window
        assert batch.continues == bool(first.any()) or not real[0].any()
        seen.append(places_TB[real])
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(1, num_characters))


def test_a_held_out_text_without_a_target_is_refused() -> None:
    with pytest.raises(UserError, match="at least 2"):
        HeldOut(np.arange(1), 1, 5)
