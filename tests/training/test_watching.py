"""Nothing that merely looks on ends a run: whatever fails in it, training goes on to its end."""

from pathlib import Path
from typing import Any

import pytest
from helpers.running import CONFIGS, Outcome, charlm, small_data, small_module, trainer

from charlm.training import callbacks, logger
from charlm.training.callbacks import GradientFlow, TextSamples, Throughput

QUICK = (
    *("--config", CONFIGS / "debug.yaml", "--data.val_size", 0, "--data.test_size", 0),
    *("--trainer.max_epochs", 2, "--model.hidden_sizes=[4]", "--samples.every_n_epochs", 1),
)


def fit(folder: Path, *options: object) -> Outcome:
    return charlm("fit", *QUICK, "--trainer.default_root_dir", folder, *options)


def fails(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("out\nof order")


@pytest.mark.usefixtures("novel")
def test_watchers_that_fail_are_told_once_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks.text_samples, "generate", fails)
    monkeypatch.setattr(callbacks.throughput.Throughput, "_log", fails)
    monkeypatch.setattr(callbacks.progress_bar.RunProgressBar, "_draw", fails)
    for name in ("log_metrics", "save", "finalize"):
        monkeypatch.setattr(logger.TensorBoardLogger, name, fails)
    outcome = fit(tmp_path)
    assert outcome.code == 0, outcome.err
    for watcher in ("TextSamples", "Throughput", "RunProgressBar", "RunLogger"):
        told = f"charlm: {watcher} has failed, and training goes on without it: out of order"
        assert outcome.err.count(told) == 1, outcome.err
    assert (tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt").is_file()


def test_every_hook_of_every_watcher_is_guarded() -> None:
    for cls in (TextSamples, Throughput, GradientFlow, callbacks.RunProgressBar):
        hooks = [name for name in vars(cls) if name.startswith("on_")]
        assert hooks, cls
        assert all(hasattr(getattr(cls, name), "__wrapped__") for name in hooks), cls


def test_the_gradient_flow_is_a_watcher_too(
    novel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(callbacks.gradient_flow, "gradient_flow", fails)
    data = small_data()
    run = trainer(tmp_path, callbacks=[GradientFlow(every_n_steps=1)])
    run.fit(small_module(data), datamodule=data)
    assert run.global_step == 2 * len(data.sampler)
    assert capfd.readouterr().err.count("GradientFlow has failed") == 1


def test_a_given_prefix_that_cannot_be_read_is_told_before_training(
    novel: str, tmp_path: Path
) -> None:
    outcome = fit(tmp_path, "--samples.prefixes=[a, é世]", "--data.normalisation", "none")
    assert outcome.code == 1
    assert "characters that the model has never seen: 'é' '世'" in outcome.err
    assert not list(tmp_path.rglob("*.ckpt"))
