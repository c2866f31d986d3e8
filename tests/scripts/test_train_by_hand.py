"""The loop by hand is what ``charlm fit`` does: the same losses."""

import runpy
from pathlib import Path

import pytest
import torch
from helpers.running import charlm
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from charlm import CharLM, generate
from scripts.train_by_hand import Options, continue_text, train

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_by_hand.py"
NUM_EPOCHS = 2


@pytest.mark.usefixtures("novel")
@pytest.mark.parametrize("backend", ["eager", "auto"])
def test_its_losses_and_weights_are_those_of_fit(backend: str, tmp_path: Path) -> None:
    outcome = charlm(
        *("fit", "--config", "rnn", "--model.backend", backend, "--trainer.accelerator", "cpu"),
        *("--trainer.max_epochs", NUM_EPOCHS, "--trainer.default_root_dir", tmp_path),
    )
    assert outcome.code == 0, outcome.err
    folder = tmp_path / "lightning_logs" / "version_0"
    events = EventAccumulator(str(folder)).Reload()
    fitted = [event.value for event in events.Scalars("train/loss")]
    by_hand = list(train(Options(num_epochs=NUM_EPOCHS)))
    # The log has single precision.
    losses = [loss for loss, _, _ in by_hand]
    assert fitted == pytest.approx(losses, rel=1e-7 if backend == "eager" else 1e-6, abs=0)
    assert losses[-1] < losses[0]
    # Its name in the checkpoint, and by hand.
    names = {
        f"model.layers.0.{name}": f"cell.{name}" for name in ("weight_ih", "weight_hh", "bias")
    }
    names |= {f"model.output.{name}": f"output.{name}" for name in ("weight", "bias")}
    ours = by_hand[-1][1].state_dict()
    theirs = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for theirs_name, our_name in names.items():
        if backend == "eager":
            assert torch.equal(theirs[theirs_name], ours[our_name]), our_name
        else:
            torch.testing.assert_close(theirs[theirs_name], ours[our_name], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("novel")
def test_its_continuation_is_that_of_generate() -> None:
    *_, (_, model, vocabulary) = train(Options(num_epochs=8, hidden_size=128))
    packed = CharLM(len(vocabulary), [128])
    packed.layers[0].load_state_dict(model.cell.state_dict())
    packed.output.load_state_dict(model.output.state_dict())
    theirs = generate(packed.eval(), vocabulary, "time traveller", num_chars=50)
    assert continue_text(model, vocabulary, "time traveller") == theirs


@pytest.mark.usefixtures("novel")
def test_it_runs_and_fits_on_a_few_screens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["train_by_hand", "--num_epochs", "1"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    told, continuation = capsys.readouterr().out.splitlines()
    assert told.startswith("epoch 1: perplexity ")
    assert len(continuation) == len("  time traveller") + 50
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) <= 150
