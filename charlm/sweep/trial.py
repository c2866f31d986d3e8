"""One trial of a search, in whatever process: ask for options, train with each seed, tell the bits."""

import contextlib
import shutil
import statistics
from pathlib import Path

import optuna
from optuna.trial import TrialState

from charlm.errors import Stopped, UserError
from charlm.sweep.plan import (
    BEFORE,
    BITS,
    REPEATS,
    SENTENCE,
    STOPPED,
    TASK,
    Plan,
    again,
    options_of,
)
from charlm.sweep.running import fit
from charlm.sweep.space import Choices, Range


def suggest(trial: optuna.Trial, name: str, values: Choices | Range) -> str:
    """A value for an option, as it stands on a command line."""
    if isinstance(values, Choices):
        return str(trial.suggest_categorical(name, values.values))
    if values.whole:
        return str(trial.suggest_int(name, int(values.low), int(values.high), log=values.log))
    return str(trial.suggest_float(name, values.low, values.high, log=values.log))


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
            bits = [*bits, watched.lowest]
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


def sampler_of(plan: Plan, study: optuna.Study, number: int) -> optuna.samplers.BaseSampler:
    """Which draws by how many new trials came before: whoever does it, and however often anew."""
    earlier = study.get_trials(deepcopy=False)[:number]
    seed = sum(REPEATS not in each.user_attrs for each in earlier)
    if plan.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed)
