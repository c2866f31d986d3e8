"""Where in a run a checkpoint stands, in Lightning's counters.

Lightning restores well what was saved at a batch's end or during validation. Two moments it
doesn't know: between two batches, when all that belongs to the first one (validation, the epoch's
end) is done; and the end of a run, which goes on with other limits. For these the counters are
rewritten to those of a run that is about to take its next batch.
"""

from typing import Any, NamedTuple

import lightning as L


class Position(NamedTuple):
    """A moment in training.

    Args:
        epochs: completed.
        batches: of the epoch now under way that are completed.
        is_between_batches: nothing is left to be done for the last batch.
        epoch_has_begun: whether the hooks of its start were called.
        ended_in_mid_epoch: a run's end that is none of an epoch.
    """

    epochs: int
    batches: int
    is_between_batches: bool
    epoch_has_begun: bool = True
    ended_in_mid_epoch: bool = False


def position_of(trainer: L.Trainer) -> Position:
    """Where ``trainer`` is in training."""
    epoch: Any = trainer.fit_loop.epoch_progress.total
    batch: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    if trainer.validating or trainer.sanity_checking:
        return Position(epoch.processed, batch.completed, is_between_batches=False)
    if epoch.processed < epoch.ready:
        return Position(epoch.processed, batch.completed, batch.ready > batch.started)
    # The epoch's end has been reached; under max_steps it may be no real one.
    if 0 < batch.completed < trainer.num_training_batches:
        return Position(epoch.processed - 1, batch.completed, True, ended_in_mid_epoch=True)
    return Position(epoch.processed, 0, True, epoch_has_begun=False)


def set_position(trainer: L.Trainer, counters: dict[str, Any], position: Position) -> None:
    """Rewrite the fit loop's ``counters``, as they stand in a checkpoint, where it takes that."""
    if trainer.validating:
        of_validation = counters["epoch_loop.val_loop.batch_progress"]
        if of_validation["current"]["completed"] < sum(trainer.num_val_batches):
            # As at its first batch: validation keeps no position, it begins again.
            for count in (of_validation["total"], of_validation["current"]):
                count.update(ready=1, started=1, processed=0, completed=0)
            of_validation["is_last_batch"] = False
    if not position.is_between_batches:
        return
    epochs, batches = counters["epoch_progress"], counters["epoch_loop.batch_progress"]
    ahead = 1 if position.epoch_has_begun else 0
    for count in (epochs["total"], epochs["current"]):
        done = position.epochs
        count.update(ready=done + 1, started=done + ahead, processed=done, completed=done)
    for count, done in (
        (batches["total"], batches["total"]["processed"]),
        (batches["current"], position.batches),
    ):
        count.update(ready=done + 1, started=done, processed=done, completed=done)
    batches["is_last_batch"] = False


def put_counters_right(trainer: L.Trainer) -> None:
    """What Lightning leaves off by one when a run begins again between two batches."""
    total: Any = trainer.fit_loop.epoch_loop.batch_progress.total
    total.ready = total.started
