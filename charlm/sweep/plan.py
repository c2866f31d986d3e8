"""What all processes of a sweep share: its plan, Optuna's study, and what a trial keeps there."""

import functools
import sqlite3
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState
from sqlalchemy import Connection, event
from sqlalchemy.pool import NullPool

from charlm.sweep.space import Space

# Of the trials that halving compares, a third goes on.
REDUCTION = 3
# What a trial keeps beside its options: the task it is, the bits of each seed that is done, why it
# failed, whether it was stopped, and whether it ended before it was done, stopped or killed.
TASK, BITS, SENTENCE, STOPPED, KILLED = "task", "bits", "sentence", "stopped", "killed"
# The trial that goes on in its place keeps its number, and how often processes were killed so far.
BEFORE, REPEATS = "before", "repeats"
# So often a trial's process may be lost before the trial counts as failed.
MAX_LOST = 3
# So long a process waits while others write to the file.
SECONDS_TO_WAIT = 60


@functools.cache
def database(url: str) -> optuna.storages.RDBStorage:
    """Optuna's storage at a URL, made once a process; a connection is closed as soon as it was used."""
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": NullPool})
    if storage.engine.name == "sqlite":
        event.listen(storage.engine, "connect", _leave_beginning_to_us)
        event.listen(storage.engine, "begin", _lock)
    return storage


def _leave_beginning_to_us(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {SECONDS_TO_WAIT * 1000}")


def _lock(connection: Connection) -> None:
    """Lock the file before a trial is looked up: else two processes find that it waits, and take it.

    Optuna locks the trial's row by ``SELECT ... FOR UPDATE``, which SQLite doesn't have.
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@dataclass(frozen=True)
class Plan:
    """All that a trial needs to know of its sweep, in plain types.

    Args:
        config: the path of the base configuration; none: charlm's defaults.
        seeds: each trial trains with seeds 0, ..., ``seeds`` - 1.
        sampler: ``grid``, ``random`` or ``tpe``.
        halving: whether the run of seed 0 is given up where it is worse than two thirds of those
            that have come as far.
        folder: of the runs.
        storage: Optuna's, as a URL.
        study: the study's name there.
    """

    config: str | None
    space: Space
    seeds: int
    sampler: str
    halving: bool
    folder: str
    storage: str
    study: str

    def open(self) -> optuna.Study:
        """The study, made where there is none."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
        if self.halving:
            pruner = optuna.pruners.SuccessiveHalvingPruner(1, reduction_factor=REDUCTION)
        return optuna.create_study(
            storage=database(self.storage),
            study_name=self.study,
            load_if_exists=True,
            direction="minimize",
            pruner=pruner,
        )


def options_of(plan: Plan, params: dict[str, Any]) -> dict[str, str]:
    """A trial's options, as they stand on a command line."""
    return plan.space.fixed | {name: str(value) for name, value in params.items()}


def again(study: optuna.Study, task: str | None = None) -> None:
    """Have others go on with the trials that were stopped, or whose process was killed.

    Args:
        task: those of this task alone, where other trials are under way.
    """
    for lost in study.get_trials(states=[TrialState.RUNNING]):
        if task not in (None, lost.user_attrs.get(TASK)):
            continue
        trial = optuna.trial.Trial(study, lost._trial_id)
        attempt = lost.user_attrs.get(REPEATS, 0) + (STOPPED not in lost.user_attrs)
        if attempt >= MAX_LOST:
            trial.set_user_attr(SENTENCE, f"Its process was lost {attempt} times: out of memory?")
        else:
            trial.set_user_attr(KILLED, True)
        study.tell(lost.number, state=TrialState.FAIL)
        # Without options it was lost before it had any: a new one takes its place.
        params = lost.system_attrs.get("fixed_params", {}) | lost.params
        if attempt < MAX_LOST and params:
            bits = lost.user_attrs.get(BITS, [])
            known = {BITS: bits, BEFORE: lost.number, REPEATS: attempt}
            study.enqueue_trial(params, user_attrs=known)
