"""Which limit of the Trainer's has ended a run, or leaves a resumed one nothing to do."""

from datetime import timedelta
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, Timer

NOTHING_TRAINED = (
    "nothing was trained: look at trainer.max_epochs, max_steps and limit_train_batches."
)


def reached_limit(trainer: L.Trainer, checkpoint: dict[str, Any]) -> str | None:
    """The limit that a checkpoint's run has reached already, by its option; none: it can go on."""
    progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
    reached = {"max_epochs": progress["completed"], "max_steps": checkpoint["global_step"]}
    for name, count in reached.items():
        limit = getattr(trainer, name)
        if limit not in (None, -1) and count >= limit:
            return f"trainer.{name} {limit}"
    timer = timer_of(trainer)
    if timer is not None:
        # Lightning counts the time of all the run's parts.
        state = checkpoint["callbacks"].get(timer.state_key, {})
        if state.get("time_elapsed", {}).get("train", 0.0) >= duration_of(timer):
            return told_time(timer)
    return None


def why_it_ended(trainer: L.Trainer) -> str | None:
    """What a run that ended before its last epoch or step is told to have ended by, in a sentence.

    ``StopEarly`` has told it itself.
    """
    step = trainer.global_step
    timer = timer_of(trainer)
    if timer is not None and timer.time_elapsed() >= duration_of(timer):
        return f"stopped at step {step}: it has reached {told_time(timer)}."
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        # Not by the epoch that it stopped in: a run that goes on keeps that of the one before.
        if type(callback) is EarlyStopping and callback.wait_count >= callback.patience:
            return (
                f"stopped at step {step}: {callback.monitor} has not improved for "
                f"{callback.patience} checks (its best: {callback.best_score.item():.4g})."
            )
    return None


def timer_of(trainer: L.Trainer) -> Timer | None:
    """The Trainer's timer, where ``max_time`` is set."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Timer) and callback._duration is not None:
            return callback
    return None


def duration_of(timer: Timer) -> float:
    """How long it lets a run train, in seconds."""
    duration: Any = timer._duration
    return float(duration)


def told_time(timer: Timer) -> str:
    return f"trainer.max_time {timedelta(seconds=duration_of(timer))} of training"
