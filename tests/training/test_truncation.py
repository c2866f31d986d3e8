"""BPTT(k1, k2) in real Trainer runs: against the reference, against one graph, and resumed."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from helpers.resuming import Run
from helpers.running import charlm, small_data, small_module, trainer
from lightning.pytorch.callbacks import Callback

from charlm import reference
from charlm.data.batch import Batch
from charlm.errors import UserError
from charlm.model import CharLM
from charlm.training.module import CharLMModule
from charlm.training.truncation import run_again

pytestmark = pytest.mark.usefixtures("novel")

CELLS = {
    "rnn": ({"cell": "rnn"}, reference.RNN),
    "gru": ({"cell": "gru", "initialisation": "uniform"}, reference.GRU),
    "lstm": ({"cell": "lstm", "initialisation": "uniform"}, reference.LSTM),
}


class TheBatches(Callback):
    """Keeps the batches that were trained on."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, k: int
    ) -> None:
        self.batches.append(batch)


def judge(module: CharLMModule, cell: type[reference.Cell]) -> reference.LanguageModel:
    """The reference with the module's weights."""
    layers = [
        cell(**{name: value.detach().numpy() for name, value in layer.named_parameters()})
        for layer in module.model.cells
    ]
    output = module.model.output
    return reference.LanguageModel(
        layers, output.weight.detach().numpy(), output.bias.detach().numpy()
    )


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("k2", [5, 6, 13, 20, 1000])
def test_an_epoch_gives_the_updates_of_the_reference(tmp_path: Path, name: str, k2: int) -> None:
    """k1 = 5; also with k2 beyond the text, where nothing is cut and BPTT is whole."""
    options, cell = CELLS[name]
    data = small_data(max_chars=220, num_steps=5)
    module = small_module(
        data, hidden_sizes=[7, 6], backprop_steps=k2, learning_rate=0.5, **options
    ).double()
    model = judge(module, cell)

    data.setup("fit")
    starts = data.sampler.starts(0, 0)
    num_batches = len(data.sampler)
    assert num_batches > 6
    places = starts + np.arange(5 * num_batches + 1)[:, None]
    rows_TB = data.text.ids[places].astype(np.int64)
    losses = []
    for evaluation in reference.truncated_updates(model, rows_TB[:-1], rows_TB[1:], None, 5, k2):
        losses.append(evaluation.loss)
        for parameter, value in model.parameters.items():
            value -= 0.5 * evaluation.d_parameters[parameter]
    assert len(losses) == num_batches

    run = trainer(tmp_path, max_epochs=1, gradient_clip_val=None, precision="64-true")
    run.fit(module, datamodule=data)
    for parameter, value in module.model.named_parameters():
        theirs = torch.from_numpy(model.parameters[parameter])
        torch.testing.assert_close(value.detach(), theirs, rtol=1e-9, atol=1e-12)
    assert run.logged_metrics["train/loss"].item() == pytest.approx(np.mean(losses), rel=1e-6)


def test_without_a_cut_the_gradient_is_that_of_one_graph_over_the_text() -> None:
    torch.manual_seed(0)
    model = CharLM(9, hidden_sizes=[8], cell="gru", initialisation="uniform").double()
    ids_TB = torch.randint(9, (31, 3))
    state, ids_BS = None, None
    for start in range(0, 30, 5):
        inputs_TB, targets_TB = ids_TB[start : start + 5], ids_TB[start + 1 : start + 6]
        logits_TBV, state, ids_BS = run_again(model, inputs_TB, state, ids_BS, 1000)
        loss = torch.nn.functional.cross_entropy(logits_TBV.flatten(0, 1), targets_TB.flatten())
    model.zero_grad()
    loss.backward()
    ours = [
        parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None
    ]

    model.zero_grad()
    logits_TBV, _ = model(ids_TB[:30])
    torch.nn.functional.cross_entropy(
        logits_TBV[-5:].flatten(0, 1), ids_TB[-5:].flatten()
    ).backward()
    for gradient, parameter in zip(ours, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("k2", [None, 25])
def test_a_reach_of_the_window_is_ordinary_training(tmp_path: Path, k2: int | None) -> None:
    data = small_data()
    modules = [small_module(data), small_module(data, backprop_steps=k2)]
    for module in modules:
        trainer(tmp_path).fit(module, datamodule=data)
    for a, b in zip(*(module.parameters() for module in modules), strict=True):
        assert torch.equal(a, b)


def test_what_is_carried_is_the_state_k2_steps_back_and_the_characters_since(
    tmp_path: Path,
) -> None:
    data = small_data()
    module = small_module(data, backprop_steps=35, learning_rate=0.0)
    run = trainer(tmp_path, max_steps=3)
    run.fit(module, datamodule=data)
    starts = data.sampler.starts(0, 0)
    read_TB = torch.from_numpy(data.text.ids[starts + np.arange(75)[:, None]].astype("int64"))
    assert module.carried_state is not None
    assert module.carried_ids is not None
    assert torch.equal(module.carried_ids.t(), read_TB[-10:])
    ((carried_BH,),) = module.carried_state
    _, ((hidden_BH,),) = module.model(read_TB[:65])
    assert not carried_BH.requires_grad
    torch.testing.assert_close(carried_BH, hidden_BH)


@pytest.mark.parametrize("stop", [1, 5, 11, 12])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, stop: int) -> None:
    options: dict[str, Any] = {"module": {"backprop_steps": 60, "cell": "lstm"}}
    whole = Run(tmp_path / "whole", **options).go()
    parts = Run(tmp_path / "parts", **options).go(max_steps=stop).go(resume=True)
    for name, value in whole.result["weights"].items():
        assert torch.equal(value, parts.result["weights"][name]), name


def test_a_checkpoint_whose_state_has_the_ids_for_a_last_layer_goes_on(tmp_path: Path) -> None:
    """As a version up to 0.1 wrote it."""
    options: dict[str, Any] = {"module": {"backprop_steps": 60}}
    whole = Run(tmp_path / "whole", **options).go()
    parts = Run(tmp_path / "parts", **options).go(max_steps=5)
    checkpoint = torch.load(parts.last, weights_only=True)
    (own,) = checkpoint["charlm"]["processes"]
    own["carried"] = (*own["carried"], (own.pop("carried_ids"),))
    torch.save(checkpoint, parts.last)
    parts.go(resume=True)
    for name, value in whole.result["weights"].items():
        assert torch.equal(value, parts.result["weights"][name]), name


def test_too_short_a_reach_is_refused(tmp_path: Path) -> None:
    data = small_data()
    module = small_module(data, backprop_steps=10)
    with pytest.raises(UserError, match=r"backprop_steps is 10, and data.num_steps 25"):
        trainer(tmp_path).fit(module, datamodule=data)


@pytest.mark.parametrize("options", [{"sampling": "random"}, {"carry": False}])
def test_batches_that_begin_anew_have_nothing_to_reach_back_to(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    data = small_data(**options)
    module = small_module(data, backprop_steps=50)
    with pytest.raises(UserError, match="each batch begins anew"):
        trainer(tmp_path).fit(module, datamodule=data)


def test_the_state_of_a_sequential_partition_can_be_left_behind(tmp_path: Path) -> None:
    """`carry: false`: the sequential partition's characters, each batch from the zero state."""
    seen: dict[bool, list[Batch]] = {}
    for carry in (True, False):
        batches = TheBatches()
        data = small_data(carry=carry)
        trainer(tmp_path, max_epochs=1, callbacks=[batches]).fit(
            small_module(data), datamodule=data
        )
        seen[carry] = batches.batches
    assert len(seen[True]) > 3
    for number, (carried, reset) in enumerate(zip(*seen.values(), strict=True)):
        assert torch.equal(carried.inputs_TB, reset.inputs_TB)
        assert carried.continues == (number > 0)
        assert not reset.continues


def test_the_command_line_has_both_options(tmp_path: Path) -> None:
    outcome = charlm(
        *("fit", "--data.corpus", "time-machine", "--data.max_chars", 1200),
        *("--data.num_lanes", 4, "--data.num_steps", 10, "--model.backprop_steps", 30),
        *("--model.hidden_sizes", "[8]", "--trainer.max_epochs", 1, "--samples.every_n_epochs", 0),
        *("--trainer.default_root_dir", tmp_path),
    )
    assert outcome.code == 0, outcome.err
    config = next(tmp_path.glob("lightning_logs/*/config.yaml")).read_text(encoding="utf-8")
    assert "backprop_steps: 30" in config
    assert "carry: true" in config
