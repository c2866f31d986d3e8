"""charlm from Python and a notebook: look at a batch, train, plot, generate, load again."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.resuming import differences
from helpers.running import small_data, small_module, trainer
from lightning.pytorch.tuner import Tuner

from charlm.checkpoint import load
from charlm.data.datamodule import CharDataModule
from charlm.errors import UserError
from charlm.generation.generate import generate
from charlm.text.vocabulary import Vocabulary
from charlm.training.callbacks import BestCheckpoint
from charlm.training.metrics_file import read_curves
from charlm.training.module import CharLMModule
from charlm.training.trainer import make_trainer

pytestmark = pytest.mark.usefixtures("novel")

SMALL: dict[str, Any] = {"max_chars": 700, "val_size": 100}


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, CharLMModule]:
    """The folder and the module of a run by ``make_trainer``."""
    data = small_data(**SMALL)
    module = small_module(data, hidden_sizes=[4])
    make_trainer(default_root_dir=tmp_path, max_epochs=3, log_every_n_steps=1).fit(
        module, datamodule=data
    )
    return tmp_path / "lightning_logs" / "version_0", module


def test_one_cell_trains_the_next_plots_the_next_generates(
    trained: tuple[Path, CharLMModule],
) -> None:
    folder, module = trained
    steps, perplexities = read_curves(folder)["train/perplexity"]
    assert len(steps) == len(perplexities) == 3
    assert perplexities[-1] < perplexities[0]
    text = generate(module.model, module.vocabulary, "time", 5)
    assert text.startswith("time")
    assert text == generate(*load(folder / "checkpoints" / "last.ckpt"), "time", 5)


def test_lightnings_own_way_to_load_a_module_and_its_data(
    trained: tuple[Path, CharLMModule],
) -> None:
    folder, module = trained
    path = folder / "checkpoints" / "last.ckpt"
    loaded = CharLMModule.load_from_checkpoint(path)
    assert not differences(dict(loaded.state_dict()), dict(module.state_dict()))
    data = CharDataModule.load_from_checkpoint(path)
    assert data.hparams["max_chars"] == 700
    assert data.vocabulary == loaded.vocabulary.config


def test_a_module_of_the_command_lines_is_loaded(checkpoint: Path) -> None:
    module = CharLMModule.load_from_checkpoint(checkpoint)
    weights = {name.removeprefix("model."): w for name, w in module.state_dict().items()}
    assert not differences(weights, dict(load(checkpoint).model.state_dict()))
    assert CharDataModule.load_from_checkpoint(checkpoint).hparams["val_size"] == 0.1


def test_a_batch_can_be_looked_at_at_any_time(tmp_path: Path) -> None:
    data = small_data(**SMALL)
    first = next(iter(data.train_dataloader()))
    assert first.inputs_TB.shape == (25, 4)
    trainer(tmp_path).fit(small_module(data, hidden_sizes=[4]), datamodule=data)
    again = list(data.train_dataloader())
    assert len(again) == len(data.train_dataloader()) > 0
    assert torch.equal(again[0].inputs_TB, first.inputs_TB)


@pytest.mark.parametrize("after_a_fit", [False, True])
def test_a_loader_trains_with_the_trainer_that_it_is_given(
    tmp_path: Path, after_a_fit: bool
) -> None:
    data = small_data(**SMALL)
    if after_a_fit:
        trainer(tmp_path).fit(small_module(data, hidden_sizes=[4]), datamodule=data)
    loader = data.train_dataloader()
    second = trainer(tmp_path, max_epochs=3)
    module = small_module(data, hidden_sizes=[4])
    second.fit(module, loader)
    assert second.global_step == 3 * len(loader)
    # As a run of its own on the same data.
    alone = small_module(data, hidden_sizes=[4])
    fresh = small_data(**SMALL | {"val_size": 0, "max_chars": 600})
    trainer(tmp_path, max_epochs=3).fit(alone, datamodule=fresh)
    assert not differences(dict(module.state_dict()), dict(alone.state_dict()))


def test_predictions_are_the_probabilities_of_each_next_character(tmp_path: Path) -> None:
    data = small_data(**SMALL)
    module = small_module(data, hidden_sizes=[4])
    runner = trainer(tmp_path)
    predictions = runner.predict(module, datamodule=data)
    assert predictions is not None
    log_p_TBV = torch.cat(predictions)
    N, B, V = log_p_TBV.shape
    assert (99, 1, len(module.vocabulary)) == (N, B, V)
    torch.testing.assert_close(log_p_TBV.exp().sum(-1), torch.ones(N, B, dtype=torch.float64))
    targets = torch.cat([batch.targets_TB for batch in data.val_dataloader()])
    nats = -log_p_TBV.gather(2, targets[..., None]).sum()
    # The first character, which validation counts too, is predicted from the bias alone.
    first = data.val_dataloader().__iter__().__next__().inputs_TB[0, 0]
    nats = nats - module.model.output.bias.double().log_softmax(0)[first]
    (measured,) = runner.validate(module, datamodule=data, verbose=False)
    assert measured["val/loss"] == pytest.approx(nats.item() / (N + 1))


# torch's own, as it looks into an autograd function.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_compiled_model_is_saved_and_loaded_as_any(tmp_path: Path) -> None:
    data = small_data(**SMALL)
    plain, compiled = (small_module(data, hidden_sizes=[4]) for _ in range(2))
    compiled.model = torch.compile(compiled.model, backend="eager")  # type: ignore[assignment]
    for name, module in (("plain", plain), ("compiled", compiled)):
        run = trainer(tmp_path)
        run.fit(module, datamodule=data)
        run.save_checkpoint(tmp_path / f"{name}.ckpt")
    weights = [
        dict(load(tmp_path / f"{name}.ckpt").model.state_dict()) for name in ("plain", "compiled")
    ]
    assert weights[0].keys() == weights[1].keys()
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name])
    # Each goes on from the other's.
    for name, module in (("compiled", plain), ("plain", compiled)):
        run = trainer(tmp_path, max_epochs=3)
        run.fit(module, datamodule=data, ckpt_path=tmp_path / f"{name}.ckpt")
        assert run.current_epoch == 3


# Lightning's own, about the loader that it makes and its range.
@pytest.mark.filterwarnings("ignore")
def test_the_learning_rate_finder_leaves_the_run_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = small_data(**SMALL)
    module, alone = (small_module(data, hidden_sizes=[4]) for _ in range(2))
    run = trainer(tmp_path)
    finder = Tuner(run).lr_find(module, datamodule=data, num_training=5, update_attr=False)
    assert finder is not None
    assert len(finder.results["loss"]) > 0
    run.fit(module, datamodule=data)
    trainer(tmp_path).fit(alone, datamodule=data)
    assert not differences(dict(module.state_dict()), dict(alone.state_dict()))


def test_a_vocabulary_will_do_in_place_of_its_configuration() -> None:
    data = small_data(**SMALL)
    vocabulary = Vocabulary.from_config(data.vocabulary)
    module = CharLMModule(vocabulary, hidden_sizes=[4])
    assert module.hparams["vocabulary"] == data.vocabulary
    assert (
        repr(vocabulary) == f"<Vocabulary of {len(vocabulary) - 1} characters, normalisation book>"
    )
    with pytest.raises(UserError, match="no vocabulary's configuration"):
        CharLMModule(["a", "b"])  # type: ignore[arg-type]
    with pytest.raises(UserError, match="it is a list, one size a layer"):
        CharLMModule(vocabulary, hidden_sizes=4)


def test_data_of_another_vocabulary_are_refused(tmp_path: Path) -> None:
    module = CharLMModule(Vocabulary.from_text("abc"), hidden_sizes=[4])
    data = small_data(**SMALL)
    for method in (trainer(tmp_path).fit, trainer(tmp_path).validate):
        with pytest.raises(UserError, match="vocabulary isn't that of the data"):
            method(module, datamodule=data)


def test_a_trainer_that_has_reached_its_end_says_that_it_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = small_data(**SMALL)
    module = small_module(data, hidden_sizes=[4])
    run = make_trainer(default_root_dir=tmp_path, max_epochs=1)
    for nothing in (False, True):
        run.fit(module, datamodule=data)
        assert ("nothing was trained" in capsys.readouterr().err) == nothing


def test_the_best_checkpoint_is_tested_by_its_name(tmp_path: Path) -> None:
    data = small_data(**SMALL, test_size=50)
    run = make_trainer([BestCheckpoint(2)], default_root_dir=tmp_path, max_epochs=2)
    run.fit(small_module(data, hidden_sizes=[4]), datamodule=data)
    run.test(datamodule=data, ckpt_path="best", verbose=False)
    assert run.ckpt_path == f"{run.log_dir}/checkpoints/best.ckpt"


def test_a_training_text_is_predicted_too(tmp_path: Path) -> None:
    data = small_data(**SMALL)
    loader = data.train_dataloader()
    predictions = trainer(tmp_path).predict(small_module(data, hidden_sizes=[4]), loader)
    assert predictions is not None
    assert len(predictions) == len(loader)


def test_what_a_notebook_shows_of_the_data_reads_no_text() -> None:
    assert str(CharDataModule("python-docs")) == "<CharDataModule of python-docs>"
    assert str(CharDataModule(path="nowhere.txt")).endswith("nowhere.txt>")
