"""A study that several processes write to."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from optuna.trial import TrialState

from charlm.sweep.plan import Plan
from charlm.sweep.space import Space

TRIALS = 60


def take_all(plan: Plan) -> list[int]:
    """The numbers of the trials that this process was given, until none waited."""
    study = plan.open()
    numbers = []
    while study.get_trials(deepcopy=False, states=[TrialState.WAITING]):
        trial = study.ask()
        numbers.append(trial.number)
        study.tell(trial, 0.0)
    return numbers


def test_no_trial_is_given_to_two_processes(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'sweep.db'}"
    plan = Plan(None, Space({}, {}), 1, "random", False, str(tmp_path), storage, "study")
    study = plan.open()
    for _ in range(TRIALS):
        study.enqueue_trial({})
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as processes:
        taken = [number for numbers in processes.map(take_all, [plan] * 4) for number in numbers]
    assert len(taken) == len(set(taken)) >= TRIALS
