"""A search from its first trial to its last, over as many commands as it takes."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from charlm.errors import UserError
from charlm.sweep.engine import Engine, WorkerLost
from charlm.sweep.plan import KILLED, SENTENCE, Plan, again, database


def begin(plan: Plan, trials: int | None) -> int:
    """Make the study, or find what is left of it.

    Args:
        trials: how many it shall have; none: a grid's all.

    Returns:
        That number.

    Raises:
        UserError: the folder's study is that of another sweep; the storage can't be opened.
    """
    # The file may have been removed since an earlier sweep of this process.
    database.cache_clear()
    try:
        study = plan.open()
    except Exception as error:
        # SQLAlchemy's and the drivers' own; the first line says what.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"Optuna can't open the storage {plan.storage}: {reason}") from error
    settings = settings_of(plan)
    if study.user_attrs.setdefault("settings", settings) != settings:
        raise UserError(
            f"{plan.storage} holds another sweep of the name {plan.study}, with other options: "
            "give another --folder, or that sweep's own options."
        )
    study.set_user_attr("settings", settings)
    grid = plan.space.grid() if plan.sampler == "grid" else []
    for params in grid[:trials]:
        study.enqueue_trial(params, skip_if_exists=True)
    number = min(len(grid), trials or len(grid)) if grid else (trials or 0)
    again(study)
    return number


def settings_of(plan: Plan) -> str:
    """What makes a sweep another one: its options and its base configuration, not where it is."""
    named = dataclasses.asdict(plan)
    for place in ("folder", "storage", "study", "config"):
        del named[place]
    if plan.config is not None:
        named["config"] = hashlib.sha256(Path(plan.config).read_bytes()).hexdigest()
    return json.dumps(named, sort_keys=True)


def done(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: complete, given up, or failed by their own fault."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and KILLED not in trial.user_attrs
    ]


def search(
    plan: Plan,
    trials: int,
    engine: Engine,
    tell: Callable[[FrozenTrial, int], None],
) -> optuna.Study:
    """Do the trials that are left.

    Args:
        tell: called with each trial that is done, and how many then are.

    Raises:
        KeyboardInterrupt: Ctrl-C; the trials in hand go on next time.
        UserError: no trial has a result.
    """
    study = plan.open()
    while (left := trials - len(done(study))) > 0:
        try:
            tasks = [(plan, f"{len(study.trials)}-{place}") for place in range(left)]
            for _, number in engine.do("charlm.sweep.trial:do_trial", tasks):
                tell(study.get_trials(deepcopy=False)[number], len(done(study)))
        except WorkerLost:
            again(study)
    if not any(trial.state == TrialState.COMPLETE for trial in study.trials):
        sentences = [trial.user_attrs.get(SENTENCE) for trial in study.trials]
        first = next((sentence for sentence in sentences if sentence), "all were given up.")
        raise UserError(f"No trial has a result: {first}")
    return study
