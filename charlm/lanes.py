"""Many texts at once, a lane each; each is the text that its context and seed give alone.

B lanes · V vocabulary

Lanes that are stepped together differ in their last bits from a lane alone (``charlm.stepping``),
and a last bit may decide which character is chosen. So wherever the choice is close, nearer to
another one than ``TOLERANCE`` allows for, the lane's steps since it was last alone are done again,
alone, and decide; from there the lane goes on. How far its logits had drifted is measured each
time, and for one lane at the end: where it was more than half of the tolerance, the lanes are
written anew one after another. In the book's RNN of 512 units, trained, it came to half at most.
"""

import contextlib
from collections.abc import Sequence

import numpy as np

from charlm.choosing import Choosing, Draws
from charlm.contexts import Context
from charlm.stepping import State, Stepper, choose_lanes

# Of the largest logit; 2⁻²³, the precision of float32, is a seventeenth of it.
TOLERANCE = 2e-6
# Lanes at once: they bound the memory, not the result.
MAX_LANES = 64


class _DriftedError(Exception):
    """Lanes together went another way than a lane alone."""


def continue_all(
    contexts: Sequence[Context],
    num_chars: int,
    choosing: Choosing,
    seeds: Sequence[int | None],
    stop: Sequence[int] = (),
) -> list[list[int]]:
    """The ids that follow each context: ``num_chars``, or fewer where they come to ``stop``.

    Args:
        contexts: of one model, B.
        choosing: how characters are chosen.
        seeds: of each lane.
        stop: ids at whose first occurrence a lane ends, or none.

    Raises:
        UserError: the model's predictions aren't finite numbers.
    """
    stepper = contexts[0].stepper
    starts = [context.state for context in contexts]
    with contextlib.suppress(_DriftedError):
        if len(starts) > 1:
            return _Lanes(stepper, starts, seeds, choosing).write(num_chars, list(stop))
    return [
        _alone(stepper, start, num_chars, choosing, Draws(seed), list(stop))
        for start, seed in zip(starts, seeds, strict=True)
    ]


def _alone(
    stepper: Stepper,
    state: State,
    num_chars: int,
    choosing: Choosing,
    draws: Draws,
    stop: list[int],
) -> list[int]:
    ids: list[int] = []
    while len(ids) < num_chars:
        id_B = choosing.choose(stepper.logits(state), choosing.draw([draws]))
        ids.append(id_B.item())
        if stop and ids[-len(stop) :] == stop:
            break
        state = stepper.step(id_B, state)
    return ids


class _Lanes:
    def __init__(
        self,
        stepper: Stepper,
        starts: Sequence[State],
        seeds: Sequence[int | None],
        choosing: Choosing,
    ) -> None:
        self.stepper, self.choosing = stepper, choosing
        self.state = stepper.stack(starts)
        self.ids: list[list[int]] = [[] for _ in starts]
        # Of each lane: its state when it was last alone, and how many ids it had then.
        self.alone = [(start, 0) for start in starts]
        self.draws = [Draws(seed) for seed in seeds]
        # The lanes that still go on, one a row of the state.
        self.going = list(range(len(starts)))

    def write(self, num_chars: int, stop: list[int]) -> list[list[int]]:
        for _ in range(num_chars):
            ids_B = self._choose()
            for lane, id_ in zip(self.going, ids_B.tolist(), strict=True):
                self.ids[lane].append(id_)
            rows = [
                row
                for row, lane in enumerate(self.going)
                if not stop or self.ids[lane][-len(stop) :] != stop
            ]
            if not rows:
                break
            if len(rows) < len(self.going):
                self.going = [self.going[row] for row in rows]
                self.state = choose_lanes(self.state, rows)
                ids_B = ids_B[rows]
            self.state = self.stepper.step(ids_B, self.state)
        else:
            self._read_alone(0, self.stepper.logits(self.state)[0])
        return self.ids

    def _choose(self) -> np.ndarray:
        logits_BV = self.stepper.logits(self.state)
        drawn_B = self.choosing.draw([self.draws[lane] for lane in self.going])
        ids_B = self.choosing.choose(logits_BV, drawn_B)
        is_close_B = self.choosing.is_close(logits_BV, drawn_B, _tolerance(logits_BV))
        for row in np.flatnonzero(is_close_B).tolist():
            logits_1V = self._read_alone(row, logits_BV[row])
            ids_B[row : row + 1] = self.choosing.choose(logits_1V, drawn_B[row : row + 1])
        return ids_B

    def _read_alone(self, row: int, together_V: np.ndarray) -> np.ndarray:
        """The logits [1, V] of a lane that has read all of its ids alone; it goes on from there."""
        lane = self.going[row]
        state, length = self.alone[lane]
        state = self.stepper.read(self.ids[lane][length:], state)
        self.alone[lane] = state, len(self.ids[lane])
        logits_1V = self.stepper.logits(state)
        if not abs(logits_1V - together_V).max() <= _tolerance(logits_1V)[0] / 2:
            raise _DriftedError
        for cell_state, cell_state_alone in zip(self.state, state, strict=True):
            for part, part_alone in zip(cell_state, cell_state_alone, strict=True):
                part[row] = part_alone[0]
        return logits_1V


def _tolerance(logits_BV: np.ndarray) -> np.ndarray:
    tolerance_B: np.ndarray = abs(logits_BV).max(axis=1) * TOLERANCE
    return tolerance_B
