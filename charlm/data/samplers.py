"""Which characters form batch k of epoch e.

    N characters of the text · T time steps (num_steps) · B lanes (batch rows)

Each sampler is a pure function of (seed, epoch, batch index): it keeps no position, so an exact
resume needs only those three numbers. Texts are cut as in the book (d2l.ai, "Language Models and
the Dataset"): sequential partition (lanes) and random sampling (windows).
"""

from abc import ABC, abstractmethod
from typing import final

import numpy as np

from charlm.data.permutation import Permutation
from charlm.errors import UserError

# So many batches' windows are computed at once.
BATCHES_AT_ONCE = 64


class Sampler(ABC):
    """The places in a text of N characters from which each batch of an epoch is cut.

    Args:
        num_characters: N.
        num_lanes: B, the rows of a batch.
        num_steps: T, the characters of a row.
        seed: which sequence of epochs.
        least: the fewest characters that make a batch; none: B·T + T, of one batch at the largest
            offset (T - 1), with the last target.

    Raises:
        UserError: B or T below 1, or a text too short for one batch.
    """

    def __init__(
        self,
        num_characters: int,
        num_lanes: int,
        num_steps: int,
        seed: int = 0,
        least: int | None = None,
    ) -> None:
        check_sizes(num_lanes, num_steps)
        least = least or (num_lanes + 1) * num_steps
        if num_characters < least:
            raise UserError(
                f"The training text has {num_characters:,} characters, too short for {num_lanes} "
                f"lanes of {num_steps} steps: it needs at least {least:,}. Lower num_lanes or "
                "num_steps, or supply a longer text."
            )
        self.num_characters = num_characters
        self.num_lanes = num_lanes
        self.num_steps = num_steps
        self.seed = seed

    def __len__(self) -> int:
        """Batches an epoch: the same for each, whatever its offset."""
        return (self.num_characters - self.num_steps) // (self.num_lanes * self.num_steps)

    def random(self, epoch: int) -> np.random.Generator:
        """The epoch's own generator."""
        return np.random.default_rng([self.seed, epoch])

    @abstractmethod
    def places(self, epoch: int, batch_index: int) -> np.ndarray:
        """Where in the text the characters of the B rows stand, and the one after, [T + 1, B]."""

    @abstractmethod
    def continues(self, batch_index: int) -> bool:
        """Whether each row goes on where the same row of the batch before ended."""

    def check_index(self, batch_index: int) -> None:
        if not 0 <= batch_index < len(self):
            raise IndexError(f"batch {batch_index} of {len(self)}")


class StretchSampler(Sampler):
    """A sampler whose rows are stretches of the text."""

    @abstractmethod
    def starts(self, epoch: int, batch_index: int) -> np.ndarray:
        """Where in the text each of the B rows begins, [B]."""

    def places(self, epoch: int, batch_index: int) -> np.ndarray:
        return self.starts(epoch, batch_index) + np.arange(self.num_steps + 1)[:, None]


@final
class LaneSampler(StretchSampler):
    """Sequential partition: the text in B lanes side by side, read from left to right.

    Each epoch begins at its own random offset in [0, T). Row b of batch k+1 begins where row b
    of batch k ended, so the hidden state may be carried from batch to batch.

    Args:
        jitter: the border between two batches is moved by up to so many characters either way, by
            chance: batches have T ± 2 ``jitter`` steps (Merity et al. 2018 vary them, too).

    Raises:
        UserError: a negative jitter, or one that leaves a batch without a character.
    """

    def __init__(
        self, num_characters: int, num_lanes: int, num_steps: int, seed: int = 0, jitter: int = 0
    ) -> None:
        super().__init__(num_characters, num_lanes, num_steps, seed)
        if not 0 <= 2 * jitter < num_steps:
            raise UserError(
                f"num_steps_jitter is {jitter}: with {num_steps} steps it must be at least 0 and at "
                f"most {(num_steps - 1) // 2}."
            )
        self.jitter = jitter

    def starts(self, epoch: int, batch_index: int) -> np.ndarray:
        self.check_index(batch_index)
        return self._lanes(epoch) + self._border(epoch, batch_index)

    def places(self, epoch: int, batch_index: int) -> np.ndarray:
        starts = self.starts(epoch, batch_index)
        T = self._border(epoch, batch_index + 1) - self._border(epoch, batch_index)
        return starts + np.arange(T + 1)[:, None]

    def continues(self, batch_index: int) -> bool:
        return batch_index > 0

    def _border(self, epoch: int, batch_index: int) -> int:
        """How far into its lane a batch begins."""
        place = batch_index * self.num_steps
        if self.jitter and 0 < batch_index < len(self):
            random = np.random.default_rng([self.seed, epoch, batch_index])
            place += int(random.integers(-self.jitter, self.jitter, endpoint=True))
        return place

    def _lanes(self, epoch: int) -> np.ndarray:
        """Where the lanes of an epoch begin, [B]."""
        # Once an epoch: to make a generator takes longer than to cut a batch.
        if getattr(self, "_epoch", None) != epoch:
            offset = int(self.random(epoch).integers(self.num_steps))
            lane_length = (self.num_characters - offset - 1) // self.num_lanes
            self._first = offset + np.arange(self.num_lanes, dtype=np.int64) * lane_length
            self._epoch = epoch
        return self._first


@final
class WindowSampler(StretchSampler):
    """Random sampling: windows of T characters that don't overlap, in random order.

    Each epoch cuts the windows from its own random offset in [0, T) and shuffles them. Rows of
    successive batches are strangers, so every batch starts from the zero state.
    """

    def starts(self, epoch: int, batch_index: int) -> np.ndarray:
        self.check_index(batch_index)
        self._begin(epoch)
        rows = self._rows(batch_index // BATCHES_AT_ONCE)
        first = batch_index % BATCHES_AT_ONCE * self.num_lanes
        return self._offset + rows[first : first + self.num_lanes] * self.num_steps

    def continues(self, batch_index: int) -> bool:
        return False

    def _begin(self, epoch: int) -> None:
        if getattr(self, "_epoch", None) != epoch:
            random = self.random(epoch)
            self._offset = int(random.integers(self.num_steps))
            num_windows = (self.num_characters - self._offset - 1) // self.num_steps
            self._order = Permutation(num_windows, random)
            self._group = -1
            self._epoch = epoch

    def _rows(self, group: int) -> np.ndarray:
        """Which windows form a group of batches: a few at once take little longer than one."""
        if self._group != group:
            size = BATCHES_AT_ONCE * self.num_lanes
            places = np.arange(group * size, min((group + 1) * size, self._order.size))
            self._windows, self._group = self._order(places), group
        return self._windows


SAMPLERS: dict[str, type[StretchSampler]] = {"sequential": LaneSampler, "random": WindowSampler}


def check_sizes(num_lanes: int, num_steps: int) -> None:
    """Raise a UserError for a number of lanes or steps below 1."""
    for name, value in (("num_lanes", num_lanes), ("num_steps", num_steps)):
        if value < 1:
            raise UserError(f"{name} is {value}: it must be at least 1.")


def share(num_lanes: int, process: int, num_processes: int) -> slice:
    """The lanes of one of several processes that train together: equally many each.

    Raises:
        UserError: they can't be divided equally.
    """
    if num_lanes % num_processes:
        raise UserError(
            f"{num_lanes} lanes can't be divided equally among {num_processes} processes: set "
            "data.num_lanes to a multiple of the number of devices."
        )
    each = num_lanes // num_processes
    return slice(process * each, (process + 1) * each)
