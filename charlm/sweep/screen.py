"""What a sweep shows: a row for each trial, with the time that is left, and at the end the figures."""

import time
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from charlm.sweep.engine import Engine
from charlm.sweep.outcome import best_yaml, fresh_figures, importances, mean_and_spread, picture
from charlm.sweep.plan import SENTENCE, Plan
from charlm.sweep.space import Space
from charlm.sweep.study import done

WIDTH = 12


class Screen:
    """A table that grows by a row with each trial that is done.

    Args:
        number: of the trials that the sweep shall have.
        space: whose searched options are its columns.
        study: whose trials of earlier commands are its first rows.
    """

    def __init__(self, number: int, space: Space, study: optuna.Study) -> None:
        self.number = number
        self.columns = list(space.searched)
        self.best = float("inf")
        self.began = time.monotonic()
        earlier = done(study)
        self.done_before = len(earlier)
        names = [name.rpartition(".")[2] for name in self.columns]
        self._row("trial", "bits", *names, "", "left")
        for trial in earlier:
            self._show(trial, "")

    def trial(self, trial: FrozenTrial, num_done: int) -> None:
        """Show one that is done."""
        seconds = (time.monotonic() - self.began) / max(1, num_done - self.done_before)
        left = max(0, self.number - num_done) * seconds
        self._show(trial, f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s")

    def _show(self, trial: FrozenTrial, left: str) -> None:
        remark, bits = "", ""
        if trial.state == TrialState.COMPLETE and trial.value is not None:
            bits = f"{trial.value:.4f}"
            if trial.value < self.best:
                self.best, remark = trial.value, "best"
        elif trial.state == TrialState.PRUNED:
            last = trial.intermediate_values
            bits, remark = f"{last[max(last)]:.4f}" if last else "", "given up"
        else:
            remark = "failed"
        values = [short(trial.params.get(name)) for name in self.columns]
        self._row(str(trial.number), bits, *values, remark, left)
        if sentence := trial.user_attrs.get(SENTENCE):
            print(f"       {sentence}", flush=True)

    @staticmethod
    def _row(number: str, *cells: str) -> None:
        print(f"{number:>5}  " + " ".join(cell.rjust(WIDTH) for cell in cells), flush=True)

    def end(
        self, plan: Plan, study: optuna.Study, root: Path, num_fresh: int, engine: Engine
    ) -> None:
        """Write what was found, measure it anew, and say so."""
        path = root / "best.yaml"
        best_yaml(plan, study, path)
        print(f"\nBest: trial {study.best_trial.number}; charlm fit --config {path}")
        if shares := importances(study):
            told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
            print(f"What mattered: {told}")
            if picture(shares, root / "importance.png"):
                print(f"  {root / 'importance.png'}")
            else:
                print("  no picture: pip install 'charlm[plots]'")
        print(f"Chosen by: {study.best_value:.4f} bits per character of the validation text.")
        if num_fresh:
            figures = fresh_figures(plan, study, num_fresh, engine)
            fresh = {part: mean_and_spread([f[part] for f in figures]) for part in ("val", "test")}
            print(
                f"Anew with {len(figures)} other seeds: {fresh['val']} on the validation text, "
                f"{fresh['test']} on the test text, which the search never saw (best checkpoints)."
            )


def short(value: object) -> str:
    """A searched value, in the width of a column."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
