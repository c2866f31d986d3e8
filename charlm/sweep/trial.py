"""One trial of a search, in whatever process: ask for options, train with each seed, tell the bits."""

import contextlib
import functools
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from sqlalchemy.pool import NullPool

from charlm.errors import Stopped, UserError
from charlm.sweep.running import fit
from charlm.sweep.space import Choices, Range, Space

# Of the trials that halving compares, a third goes on.
REDUCTION = 3
# What a trial keeps beside its options: the task it is, the bits of each seed that is done, why it
# failed, whether it was stopped, and whether it ended before it was done, stopped or killed.
TASK, BITS, SENTENCE, STOPPED, KILLED = "task", "bits", "sentence", "stopped", "killed"
# The trial that goes on in its place keeps its number, and how often processes were killed so far.
BEFORE, REPEATS = "before", "repeats"
# So often a trial's process may be lost before the trial counts as failed.
MAX_LOST = 3


@functools.cache
def database(url: str) -> optuna.storages.RDBStorage:
    """Optuna's storage at a URL, made once a process; a connection is closed as soon as it was used."""
    return optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": NullPool})


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


def suggest(trial: optuna.Trial, name: str, values: Choices | Range) -> str:
    """A value for an option, as it stands on a command line."""
    if isinstance(values, Choices):
        return str(trial.suggest_categorical(name, values.values))
    if values.whole:
        return str(trial.suggest_int(name, int(values.low), int(values.high), log=values.log))
    return str(trial.suggest_float(name, values.low, values.high, log=values.log))


def options_of(plan: Plan, params: dict[str, Any]) -> dict[str, str]:
    """A trial's options, as they stand on a command line."""
    return plan.space.fixed | {name: str(value) for name, value in params.items()}


def do_trial(plan: Plan, task: str) -> int:
    """Do one trial that waits to be done again, else a new one, and tell the study its result.

    Args:
        task: its name: where its process was lost, the same task is given to another.

    Returns:
        The trial's number.

    Raises:
        Stopped: by Ctrl-C.
    """
    study = plan.open()
    again(study, task)
    trial = study.ask()
    trial.set_user_attr(TASK, task)
    study.sampler = sampler_of(plan, study, trial.number)
    searched = plan.space.searched
    params = {name: suggest(trial, name, values) for name, values in searched.items()}
    options = options_of(plan, params)

    def give_up(validation: int, bits: float) -> bool:
        trial.report(bits, validation)
        return trial.should_prune()

    folder = Path(plan.folder) / f"trial-{trial.number}"
    before = trial.user_attrs.get(BEFORE)
    bits = trial.user_attrs.get(BITS, [])
    try:
        if before is not None:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):
                folder.with_name(f"trial-{before}").rename(folder)
        for seed in range(len(bits), plan.seeds):
            looks = give_up if plan.halving and seed == 0 else None
            own = folder / f"seed-{seed}"
            watched = fit(plan.config, options, seed, own, before is not None, looks)
            if watched.pruned:
                study.tell(trial, state=TrialState.PRUNED)
                return trial.number
            bits = [*bits, min(watched.bits)]
            trial.set_user_attr(BITS, bits)
    except (Stopped, KeyboardInterrupt):
        trial.set_user_attr(STOPPED, True)
        raise
    # Whatever a run fails by, the others are still worth doing.
    except Exception as error:
        sentence = (
            str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        )
        trial.set_user_attr(SENTENCE, " ".join(sentence.split()))
        study.tell(trial, state=TrialState.FAIL)
        return trial.number
    study.tell(trial, statistics.mean(bits))
    return trial.number


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
        if attempt < MAX_LOST and lost.params:
            bits = lost.user_attrs.get(BITS, [])
            known = {BITS: bits, BEFORE: lost.number, REPEATS: attempt}
            study.enqueue_trial(lost.params, user_attrs=known)


def sampler_of(plan: Plan, study: optuna.Study, number: int) -> optuna.samplers.BaseSampler:
    """Which draws by how many new trials came before: whoever does it, and however often anew."""
    earlier = study.get_trials(deepcopy=False)[:number]
    seed = sum(REPEATS not in each.user_attrs for each in earlier)
    if plan.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed)
