"""How held-out text is read: in lanes that carry their state, or in windows that start anew.

    N characters of the text · T time steps · B lanes

Validation, test and ``charlm score`` all read by this file, and all measure by
``charlm.evaluation.protocol``.
"""

from typing import final

import numpy as np
import torch

from charlm.data.batch import IGNORED, Batch, begins
from charlm.data.samplers import check_sizes
from charlm.errors import UserError

# Of windows, so many are read side by side: it bounds the memory, not the result.
MAX_WINDOWS = 256


@final
class HeldOut:
    """A held-out text in contiguous pieces, every character after the first a target once.

    The pieces are read side by side in batches of at most T steps, the last one as short as what
    is left; where a piece is shorter than another, its last targets are ``IGNORED``.

    Args:
        ids: the text, [N].
        num_lanes: into how many pieces the N - 1 targets are divided, as evenly as can be: the B
            lanes. Each after the first begins with one character of context instead of everything
            before.
        num_steps: T, doesn't change the result.
        window: instead, how many targets a piece has (the last one: what is left), each beginning
            with one character of context.
        mark_id: what stands between documents (``Vocabulary.mark_id``), if the text has any.

    Raises:
        UserError: B, T or the window below 1, or a text without a single target.
    """

    def __init__(
        self,
        ids: np.ndarray,
        num_lanes: int,
        num_steps: int,
        window: int | None = None,
        mark_id: int | None = None,
    ) -> None:
        check_sizes(num_lanes, num_steps)
        if window is not None and window < 1:
            raise UserError(f"window is {window}: it must be at least 1.")
        if len(ids) < 2:
            raise UserError(
                f"The held-out text has {len(ids)} characters, and needs at least 2: raise "
                "val_size or test_size."
            )
        self.ids = ids
        self.mark_id = mark_id
        self.num_steps = num_steps
        num_targets = len(ids) - 1
        if window is None:
            num_lanes = min(num_lanes, num_targets)
            self.bounds = np.arange(num_lanes + 1, dtype=np.int64) * num_targets // num_lanes
            self.num_lanes = num_lanes
        else:
            self.bounds = np.append(np.arange(0, num_targets, window), num_targets)
            self.num_lanes = min(len(self.bounds) - 1, MAX_WINDOWS)
        self.piece_length = int(np.diff(self.bounds).max())
        self.batches_per_group = -(-self.piece_length // num_steps)

    def __len__(self) -> int:
        num_groups = -(-(len(self.bounds) - 1) // self.num_lanes)
        return num_groups * self.batches_per_group

    def places(self, batch_index: int) -> np.ndarray:
        """Where in the text the targets of batch k stand, [T, B]; -1 where there is none."""
        if not 0 <= batch_index < len(self):
            raise IndexError(f"batch {batch_index} of {len(self)}")
        group, part = divmod(batch_index, self.batches_per_group)
        first = part * self.num_steps
        num_steps = min(self.num_steps, self.piece_length - first)
        bounds = self.bounds[group * self.num_lanes : (group + 1) * self.num_lanes + 1]
        places_TB = bounds[:-1] + np.arange(first, first + num_steps)[:, None] + 1
        places_TB[places_TB > bounds[1:]] = -1
        return places_TB

    def batch(self, batch_index: int) -> Batch:
        """Batch k: the state is carried into it unless it begins new pieces."""
        places_TB = self.places(batch_index)
        is_target_TB = places_TB >= 0
        inputs_TB = self.ids[places_TB - 1].astype(np.int64)
        targets_TB = self.ids[places_TB].astype(np.int64)
        inputs_TB[~is_target_TB] = 0
        targets_TB[~is_target_TB] = IGNORED
        inputs = torch.from_numpy(inputs_TB)
        return Batch(
            inputs,
            torch.from_numpy(targets_TB),
            batch_index % self.batches_per_group > 0,
            begins(inputs, self.mark_id),
        )
