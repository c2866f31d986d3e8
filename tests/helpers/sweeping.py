"""What a sweep has left in its folder."""

import optuna


def results(folder: str) -> dict[float, float | None]:
    """By learning rate, of the trials that weren't stopped or killed."""
    study = optuna.load_study(storage=f"sqlite:///{folder}/sweep.db", study_name=folder)
    kept = [trial for trial in study.trials if "killed" not in trial.user_attrs]
    return {trial.params["model.learning_rate"]: trial.value for trial in kept}
