"""What a sweep has left in its folder."""

import optuna

from charlm.sweep.plan import database


def study_in(folder: str) -> optuna.Study:
    """The study of a sweep."""
    url = f"sqlite:///{folder}/sweep.db"
    return optuna.load_study(storage=database(url), study_name=folder)


def results(folder: str) -> dict[float, float | None]:
    """By learning rate, of the trials that weren't stopped or killed."""
    kept = [trial for trial in study_in(folder).trials if "killed" not in trial.user_attrs]
    return {trial.params["model.learning_rate"]: trial.value for trial in kept}
