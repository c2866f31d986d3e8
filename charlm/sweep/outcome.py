"""What a search has found: ``best.yaml``, what mattered, and figures on text it never saw."""

import statistics
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import TrialState

from charlm.errors import UserError
from charlm.sweep.engine import Engine, WorkerLost
from charlm.sweep.plan import Plan, options_of
from charlm.sweep.space import plain
from charlm.text.files import atomic_writer

# Fewer trials say nothing of what mattered.
MIN_TRIALS = 4


def best_yaml(plan: Plan, study: optuna.Study, path: Path) -> None:
    """Write the best trial's options, as a configuration for ``charlm fit --config``."""
    options: dict[str, Any] = {}
    if plan.config is not None:
        options = yaml.safe_load(Path(plan.config).read_text(encoding="utf-8")) or {}
    for name, value in options_of(plan, study.best_trial.params).items():
        *sections, last = name.split(".")
        within = options
        for section in sections:
            if not isinstance(within.get(section), dict):
                within[section] = {}
            within = within[section]
        within[last] = plain(value)
    heading = (
        f"# Trial {study.best_trial.number} of {len(study.trials)}: {study.best_value:.4f} bits per "
        "character of the validation text,\n# by which it was chosen.\n"
    )
    with atomic_writer(path) as file:
        file.write((heading + yaml.safe_dump(options, sort_keys=False)).encode())


def fresh_figures(
    plan: Plan, study: optuna.Study, num_seeds: int, engine: Engine
) -> list[dict[str, Any]]:
    """Train the best trial's options anew, with seeds that the search didn't use.

    Returns:
        See ``charlm.sweep.running.fit_and_test``, by seed; kept in the study, so that no run is
        done twice. One that was stopped goes on.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        UserError: a run failed.
    """
    best = study.best_trial
    options = options_of(plan, best.params)
    key = f"fresh-{best.number}"
    seeds = range(plan.seeds, plan.seeds + num_seeds)
    goes_on = key in study.user_attrs
    known: dict[str, Any] = dict(study.user_attrs.get(key, {}))
    study.set_user_attr(key, known)
    left = [seed for seed in seeds if str(seed) not in known]
    folder = Path(plan.folder) / "best"
    tasks = [(plan.config, options, seed, folder / f"seed-{seed}", goes_on) for seed in left]
    try:
        for _, figures in engine.do("charlm.sweep.running:fit_and_test", tasks):
            known[str(figures["seed"])] = figures
            study.set_user_attr(key, known)
    except WorkerLost as error:
        raise UserError(str(error)) from error
    return [known[str(seed)] for seed in seeds]


def importances(study: optuna.Study) -> dict[str, float]:
    """How much each option decided whether a trial was among the best tenth, highest first.

    By PED-ANOVA (Watanabe, Bansal, Hutter 2023); empty where there are too few trials to say.
    """
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if len(complete) < MIN_TRIALS or len(complete[0].params) < 2:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def picture(shares: dict[str, float], path: Path) -> bool:
    """Draw the importances; False where matplotlib isn't installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(6, 0.6 + 0.4 * len(shares)), layout="constrained")
    axes = figure.add_subplot()
    names = list(reversed(shares))
    axes.barh(names, [shares[name] for name in names])
    axes.set_xlabel("importance for being among the best tenth of the trials")
    figure.savefig(path)
    return True


def mean_and_spread(values: list[float]) -> str:
    """Of bits per character: the mean, and the standard deviation where there are several."""
    mean = f"{statistics.mean(values):.4f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.4f}"
