"""The learning rate over a run: a curve over the run's own length, or a scheduler of torch's.

A curve is a pure function of the share of the run that is gone. It is that of the present run: one
that goes on from a checkpoint with other limits (``max_epochs``, ``max_steps``) takes the rate
that a run of the new length has at that step.
"""

import inspect
import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import lightning as L
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from charlm.errors import UserError
from charlm.training.class_paths import build, find

SCHEDULES = ("constant", "linear", "cosine", "wsd")
# Of torch, made to be stepped once an optimiser's step; stepped once an epoch they would take
# their cycle as many times too slowly as an epoch has steps.
BY_STEP = ("OneCycleLR", "CyclicLR")


class Curve(NamedTuple):
    """The share of ``learning_rate`` that is taken when a share of the run is gone.

    Args:
        schedule: ``constant``; ``linear`` and ``cosine`` fall from the warm-up's end to the run's;
            ``wsd`` (warm-up, stable, decay) stays constant and falls linearly at the end.
        warmup: the share of the run in which the rate rises from zero.
        cooldown: the share of the run in which ``wsd`` falls.
        final: what the rate falls to, as a share of ``learning_rate``.

    Raises:
        UserError: a share that isn't between 0 and 1, or two that don't go together.
    """

    schedule: str = "constant"
    warmup: float = 0.0
    cooldown: float = 0.2
    final: float = 0.0

    def check(self, lr_scheduler: str | None = None) -> "Curve":
        """The curve itself, or the UserError; ``lr_scheduler`` can't stand beside one."""
        if self.schedule not in SCHEDULES:
            raise UserError(
                f"Unknown schedule {self.schedule!r}: choose one of {', '.join(SCHEDULES)}."
            )
        for name in ("warmup", "cooldown", "final"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise UserError(
                    f"model.schedule_{name} is {share}: it is a share, at least 0 and at most 1."
                )
        if self.warmup + (self.cooldown if self.schedule == "wsd" else 0) > 1:
            raise UserError(
                f"The schedule's warm-up ({self.warmup}) and cool-down ({self.cooldown}) are longer "
                "than the run: they are shares of it, and together at most 1."
            )
        if lr_scheduler is not None and not self.is_flat:
            raise UserError(
                f"model.schedule {self.schedule} and model.lr_scheduler {lr_scheduler} both set the "
                "learning rate: give one of them."
            )
        return self

    @property
    def is_flat(self) -> bool:
        """Whether the rate never changes."""
        return self.schedule == "constant" and self.warmup == 0

    def __call__(self, share: float) -> float:
        """The factor when ``share`` (0 to 1) of the run is gone."""
        if share < self.warmup:
            return share / self.warmup
        falling = self.cooldown if self.schedule == "wsd" else 1 - self.warmup
        if self.schedule == "constant" or falling == 0:
            return 1.0
        # How much of the fall is done.
        done = min(max(0.0, 1 - (1 - share) / falling), 1.0)
        left = (1 + math.cos(math.pi * done)) / 2 if self.schedule == "cosine" else 1 - done
        return self.final + (1 - self.final) * left


class RunLength:
    """How much of a run is gone: by its steps, and under ``max_time`` by the clock.

    Where a run has several limits, the share is that of the one that it is closest to.

    Raises:
        UserError: the run has no limit, so no share of it can be told.
    """

    def __init__(self, trainer: L.Trainer) -> None:
        self.trainer = trainer
        self.num_steps = float(trainer.estimated_stepping_batches)
        self._last_looked = (-1, 0.0)
        timers = [each for each in trainer.callbacks if isinstance(each, Timer)]  # type: ignore[attr-defined]
        self.timers = [timer for timer in timers if timer.time_remaining() is not None]
        if math.isinf(self.num_steps) and not self.timers:
            raise UserError(
                "A schedule is a curve over the run's length, and this run has no limit: set "
                "trainer.max_epochs, max_steps or max_time, or model.schedule constant without "
                "a warm-up."
            )

    def share(self, step: int) -> float:
        """Of the run, in the middle of the step that follows ``step`` others (0 to 1)."""
        share = (step + 0.5) / self.num_steps
        return min(max(share, self._of_time(step)) if self.timers else share, 1.0)

    def _of_time(self, step: int) -> float:
        """The share of ``max_time`` that is gone: for a step the same in all groups and processes."""
        if self._last_looked[0] != step:
            share = 0.0
            for timer in self.timers:
                elapsed, remaining = timer.time_elapsed(), timer.time_remaining()
                assert remaining is not None
                share = max(share, elapsed / (elapsed + remaining))
            self._last_looked = step, self.trainer.strategy.broadcast(share)
        return self._last_looked[1]


@rank_zero_only
def tell_of_time() -> None:
    """Say what a schedule under ``max_time`` means."""
    print(
        "charlm: the learning rate follows the clock (trainer.max_time), so this run can't be repeated "
        "to the bit; give max_epochs or max_steps for one that can.",
        file=sys.stderr,
    )


def of_the_run(
    optimizer: Optimizer, curve: Curve, options: Any, trainer: L.Trainer
) -> dict[str, Any]:
    """Lightning's configuration of the curve, or of the module's ``lr_scheduler``; empty of neither."""
    if not curve.is_flat:
        return {"lr_scheduler": over_the_run(optimizer, curve, trainer)}
    if options.lr_scheduler is None:
        return {}
    scheduler = by_class(
        partial(build, "lr_scheduler", options.lr_scheduler, None, optimizer),
        find("lr_scheduler", options.lr_scheduler),
        options.lr_scheduler_options or {},
        options.lr_scheduler_interval,
        options.lr_scheduler_monitor,
        trainer,
    )
    return {"lr_scheduler": scheduler}


def over_the_run(optimizer: Optimizer, curve: Curve, trainer: L.Trainer) -> dict[str, Any]:
    """Lightning's configuration of a schedule by the run's own length, stepped with the optimiser."""
    length = RunLength(trainer)
    if length.timers:
        tell_of_time()

    def factor(step: int) -> float:
        return curve(length.share(step))

    return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}


def take_up(scheduler: LRScheduler) -> None:
    """Set the rates to those of the present run's curve, after a checkpoint has been loaded."""
    assert isinstance(scheduler, LambdaLR)
    rates = [
        base * curve(scheduler.last_epoch)
        for base, curve in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
    ]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = rates


def by_class(
    make: Callable[..., Any],
    scheduler: type,
    options: dict[str, Any],
    interval: str | None,
    monitor: str | None,
    trainer: L.Trainer,
) -> dict[str, Any]:
    """Lightning's configuration of a scheduler of torch's, or of one's own.

    Args:
        make: returns the scheduler for its options.
        scheduler: its class.
        options: its arguments. A ``total_steps`` that isn't given is the run's.
        interval: ``step`` or ``epoch``; none: an epoch.
        monitor: the metric that a plateau is looked for in; none: validation's loss, without
            validation that of training.
        trainer: of the run.

    Raises:
        UserError: an interval that doesn't exist or has to be given; a monitor that isn't used.
    """
    name = scheduler.__name__
    if interval not in (None, "step", "epoch"):
        raise UserError(f"model.lr_scheduler_interval is {interval!r}: choose step or epoch.")
    if interval is None and name in BY_STEP:
        raise UserError(
            f"{name} is made to be stepped once an optimiser's step: say model.lr_scheduler_interval "
            "step (or epoch, and count its cycle in epochs)."
        )
    is_plateau = issubclass(scheduler, ReduceLROnPlateau)
    if monitor is not None and not is_plateau:
        raise UserError(
            f"model.lr_scheduler_monitor is {monitor!r}, and {name} looks at no metric."
        )
    if "total_steps" in inspect.signature(scheduler).parameters and interval == "step":
        in_epochs = {"epochs", "steps_per_epoch"} <= options.keys()
        if options.get("total_steps") is None and not in_epochs:
            options = options | {"total_steps": int(RunLength(trainer).num_steps)}
    configuration = {"scheduler": make(**options), "interval": interval or "epoch"}
    if is_plateau:
        if interval == "step":
            raise UserError(
                f"{name} looks at a metric once an epoch: leave lr_scheduler_interval out."
            )
        validates = trainer.enable_validation
        configuration["monitor"] = monitor or ("val/loss" if validates else "train/loss")
        if configuration["monitor"].startswith("val/"):
            configuration["frequency"] = trainer.check_val_every_n_epoch or 1
    return configuration
