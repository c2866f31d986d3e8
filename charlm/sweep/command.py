"""``charlm sweep``: search the options of a run, and measure what was found."""

import contextlib
import importlib.util
import signal
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from charlm.configs import find
from charlm.errors import Stopped, UserError
from charlm.sweep.space import read_space

SAMPLERS = ("grid", "random", "tpe")
NEEDED = ("optuna", "joblib")


def sweep(
    *options: str,
    config: str | None = None,
    sampler: str = "tpe",
    trials: int | None = None,
    seeds: int = 1,
    halving: bool = False,
    jobs: int = 1,
    scheduler: str | None = None,
    folder: Path = Path("sweep"),
    storage: str | None = None,
    fresh_seeds: int = 3,
) -> None:
    """Search the options of charlm fit by the bits per character of the validation text.

    An option of a run has a list or a range in place of a value:

    charlm sweep --config lstm --model.learning_rate 'log(1e-3, 1)' --model.hidden_sizes '[[128], [256]]'

    Ranges are uniform(A, B), log(A, B), integers(A, B), log_integers(A, B). Each trial is an
    ordinary run under --folder (tensorboard --logdir FOLDER). The same command again goes on with
    what is left. At the end, best.yaml there is for charlm fit --config, and the best trial's options
    are trained anew with other seeds and measured on the test text, which the search never saw.

    Args:
        options: of the runs, as of charlm fit, each with a value, a list of values or a range.
        config: what all runs begin from, as of charlm fit.
        sampler: how options are chosen: grid (all combinations), random, tpe (likelier where
            earlier trials were good).
        trials: how many; if left out, a grid's all, else 20.
        seeds: each trial is the mean over so many seeds.
        halving: give a trial up early where it is worse than two thirds of those that came as far.
        jobs: how many at once on this machine, each with one thread.
        scheduler: of a Dask cluster that does the runs, such as tcp://host:8786; its workers see
            this folder, and have one thread each.
        folder: for runs, results and pictures.
        storage: of Optuna's study, a URL such as postgresql://...; if left out, a file in the folder.
        fresh_seeds: with how many other seeds the best options are measured on the test text; 0
            leaves that out.
    """
    if sampler not in SAMPLERS:
        raise UserError(f"There is no sampler {sampler}: choose one of {', '.join(SAMPLERS)}.")
    for name, value, least in (
        ("trials", 1 if trials is None else trials, 1),
        ("seeds", seeds, 1),
        ("jobs", jobs, 1),
        ("fresh_seeds", fresh_seeds, 0),
    ):
        if value < least:
            raise UserError(f"{name} is {value}: it must be at least {least}.")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"charlm sweep needs {' and '.join(missing)}: pip install 'charlm[sweep]'.")
    space = read_space(list(options))
    if sampler == "grid":
        space.grid()
    base = None if config is None else str(find(config).resolve())

    # Not before: the command's help, and its mistakes, don't wait for it.
    from charlm.sweep.engine import Engine, WorkerLost

    root = folder.resolve()
    try:
        with Engine(jobs, scheduler) as engine:
            engine.begin("charlm.sweep.checking:check", (base, space, fresh_seeds > 0))
            # Meanwhile, what takes a second, a database's libraries too. Torch is loaded by those
            # alone that train.
            from optuna.storages import RDBStorage

            from charlm.sweep.plan import Plan
            from charlm.sweep.screen import Screen
            from charlm.sweep.study import begin, search

            RDBStorage("sqlite://")
            engine.wait()
            with locked(root):
                url = storage or f"sqlite:///{root / 'sweep.db'}"
                plan = Plan(base, space, seeds, sampler, halving, str(root), url, folder.name)
                number = begin(plan, trials if trials or sampler == "grid" else 20)
                screen = Screen(number, space, plan.open())
                study = search(plan, number, engine, screen.trial)
                screen.end(plan, study, root, fresh_seeds, engine)
    except Timeout as error:
        raise UserError(
            f"Another charlm sweep is at work in {folder}: wait for its end."
        ) from error
    except WorkerLost as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"Can't write to {folder}: {error.strerror or error}.") from error
    except KeyboardInterrupt as error:
        raise Stopped(
            "Stopped; the same command goes on with what is left.", signal.SIGINT
        ) from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """With a folder, made where there is none, that no other sweep uses meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock", timeout=0):
        yield
