"""The batches of a loop, for the Trainer: what is left of a training epoch, and held-out text."""

from collections.abc import Callable, Iterator
from typing import Any

import lightning as L
import numpy as np
import torch

from charlm.data.batch import IGNORED, Batch, begins, take
from charlm.data.held_out import HeldOut
from charlm.data.samplers import Sampler, share


class TrainingBatches:
    """The batches that are left of the epoch in which the Trainer stands.

    It has a length and keeps no position: at the first batch it asks where training stands, so
    that a resumed epoch goes on with the batch it would have had. Without a Trainer that trains, it
    gives the batches of the first epoch.

    Args:
        ids: the training text, [N].
        sampler: which characters form a batch.
        position: returns (epoch, index of the next batch) of a Trainer, or of none.
        lanes: those of this process.
        carry: whether a batch may go on where the one before ended.
        mark_id: what stands between documents, if the text has any.
        trainer: that trains on them.
    """

    def __init__(
        self,
        ids: np.ndarray,
        sampler: Sampler,
        position: Callable[[L.Trainer | None], tuple[int, int]],
        lanes: slice,
        carry: bool = True,
        mark_id: int | None = None,
        trainer: L.Trainer | None = None,
    ) -> None:
        self.ids = ids
        self.sampler = sampler
        self.position = position
        self.lanes = lanes
        self.carry = carry
        self.mark_id = mark_id
        self.trainer = trainer

    def follow(self, trainer: L.Trainer) -> None:
        """Train with this Trainer, which may be another one than the loader was made for."""
        if trainer is not self.trainer:
            self.trainer = trainer
            self.lanes = share(self.sampler.num_lanes, trainer.global_rank, trainer.world_size)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        epoch, first = self.position(self.trainer)
        for batch_index in range(first, len(self)):
            places = self.sampler.places(epoch, batch_index)[:, self.lanes]
            inputs_TB, targets_TB = take(self.ids, places)
            continues = self.carry and self.sampler.continues(batch_index)
            yield Batch(inputs_TB, targets_TB, continues, begins(inputs_TB, self.mark_id))

    # The Trainer asks for it where it finds a sampler.
    batch_sampler = None

    # The Trainer takes a loader with these two for resumable: and it is, having no state.
    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass


class HeldOutBatches:
    """A held-out text from left to right, each character after the first a target once.

    Args:
        held_out: its batches.
        process: which of the processes that divide its lanes among them, as evenly as can be.
        num_processes: how many they are.
    """

    def __init__(self, held_out: HeldOut, process: int = 0, num_processes: int = 1) -> None:
        self.held_out = held_out
        num_lanes = held_out.num_lanes
        self.lanes = slice(
            process * num_lanes // num_processes, (process + 1) * num_lanes // num_processes
        )

    def __len__(self) -> int:
        return len(self.held_out)

    def __iter__(self) -> Iterator[Batch]:
        for batch_index in range(len(self)):
            batch = self.held_out.batch(batch_index)
            inputs_TB, targets_TB = batch.inputs_TB, batch.targets_TB
            lanes = self.lanes
            if lanes.start == lanes.stop:
                # A process without a lane keeps step with the others.
                lanes = slice(0, 1)
                targets_TB = torch.full_like(targets_TB, IGNORED)
            inputs_TB = inputs_TB[:, lanes]
            begins_TB = begins(inputs_TB, self.held_out.mark_id)
            yield Batch(inputs_TB, targets_TB[:, lanes], batch.continues, begins_TB)
