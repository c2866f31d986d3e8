"""The module in real Trainer runs: what is carried, what is clipped, what is measured."""

import itertools
import math
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers.running import small_data, small_module, trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional as F

from charlm.data.batch import Batch
from charlm.data.datamodule import CharDataModule
from charlm.errors import UserError
from charlm.model import ModelState
from charlm.training.module import CharLMModule

pytestmark = pytest.mark.usefixtures("novel")


def record_states(module: CharLMModule) -> list[tuple[ModelState | None, ModelState]]:
    """Every (state before, state after) that the model is called with from now on."""
    calls: list[tuple[ModelState | None, ModelState]] = []

    def hook(_: Any, arguments: tuple[Tensor, ModelState | None], result: Any) -> None:
        calls.append((arguments[1], result[1]))

    module.model.register_forward_hook(hook)
    return calls


def weights(module: CharLMModule) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def assert_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


def test_sequential_batches_continue_the_state_detached_and_epochs_begin_anew(
    tmp_path: Path,
) -> None:
    data = small_data()
    module = small_module(data)
    calls = record_states(module)
    trainer(tmp_path).fit(module, datamodule=data)
    num_batches = len(data.sampler)
    assert num_batches > 3
    assert len(calls) == 2 * num_batches
    for k, (before, _) in enumerate(calls):
        if k % num_batches == 0:
            assert before is None
        else:
            assert before is not None
            assert not before[0][0].requires_grad
            assert before[0][0].abs().max() > 0
            assert torch.equal(before[0][0], calls[k - 1][1][0][0])


def test_random_batches_each_begin_anew(tmp_path: Path) -> None:
    data = small_data(sampling="random")
    module = small_module(data)
    calls = record_states(module)
    trainer(tmp_path).fit(module, datamodule=data)
    assert all(before is None for before, _ in calls)


class TheBatches(Callback):
    """Keeps the batches that were trained on."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, k: int
    ) -> None:
        self.batches.append(batch)


@pytest.mark.parametrize("sampling", ["sequential", "random"])
def test_the_trainer_does_what_the_book_s_loop_does(tmp_path: Path, sampling: str) -> None:
    """The chapter's loop with its own clipping and SGD, written out over the same batches."""
    data = small_data(sampling=sampling)
    module = small_module(data, learning_rate=2.0).double()
    W_xh, W_hh, b_h, W_hq, b_q = (
        weights(module)[0].T,
        weights(module)[1].T,
        weights(module)[2],
        weights(module)[3].T,
        weights(module)[4],
    )
    params = [W_xh, W_hh, b_h, W_hq, b_q] = [
        parameter.clone().requires_grad_() for parameter in (W_xh, W_hh, b_h, W_hq, b_q)
    ]
    seen = TheBatches()
    clip = 0.05
    trainer(tmp_path, gradient_clip_val=clip, callbacks=[seen], precision="64-true").fit(
        module, datamodule=data
    )

    H = torch.zeros(4, 16, dtype=torch.float64)
    clipped = 0
    for inputs_TB, targets_TB, continues, _ in seen.batches:
        H = H.detach() if continues else torch.zeros_like(H)
        outputs = []
        for X in F.one_hot(inputs_TB, len(module.vocabulary)).double():
            H = torch.tanh(X @ W_xh + H @ W_hh + b_h)
            outputs.append(H @ W_hq + b_q)
        loss = F.cross_entropy(torch.cat(outputs), targets_TB.flatten())
        for parameter in params:
            parameter.grad = None
        loss.backward()
        norm = torch.sqrt(sum((p.grad**2).sum() for p in params))  # type: ignore[arg-type, misc]
        with torch.no_grad():
            for parameter in params:
                if norm > clip:
                    parameter.grad *= clip / norm
                parameter -= 2.0 * parameter.grad  # type: ignore[operator]
        clipped += bool(norm > clip)
    assert clipped > 0
    ours = weights(module)
    for mine, theirs in zip(ours, (W_xh.T, W_hh.T, b_h, W_hq.T, b_q), strict=True):
        # The Trainer divides by the norm plus 1e-6, as torch does: hence no tighter.
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_the_logged_norm_is_the_one_before_the_clip(tmp_path: Path) -> None:
    data = small_data()
    norms = {}
    for clip in (None, 1e-3):
        module = small_module(data)
        run = trainer(tmp_path, max_steps=1, gradient_clip_val=clip)
        run.fit(module, datamodule=data)
        norms[clip] = run.logged_metrics["train/grad_norm"]
        moved = torch.stack(
            [
                (a - b).norm()
                for a, b in zip(weights(module), weights(small_module(data)), strict=True)
            ]
        ).norm()
        expected = norms[clip] if clip is None else torch.tensor(clip)
        torch.testing.assert_close(moved, expected, rtol=1e-3, atol=0.0)
    assert norms[None] == norms[1e-3]


def test_clipping_by_value_is_the_trainer_s(tmp_path: Path) -> None:
    data = small_data()
    module = small_module(data)
    run = trainer(tmp_path, max_steps=1, gradient_clip_val=1e-3, gradient_clip_algorithm="value")
    run.fit(module, datamodule=data)
    moved = [
        (a - b).abs().max()
        for a, b in zip(weights(module), weights(small_module(data)), strict=True)
    ]
    assert max(moved) == pytest.approx(1e-3, rel=1e-3)
    assert run.logged_metrics["train/grad_norm"] > 1e-3


def test_the_epoch_s_perplexity_is_that_of_its_characters(tmp_path: Path) -> None:
    data = small_data()
    module = small_module(data, learning_rate=0.0)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(module, datamodule=data)
    # With nothing learned, V symbols are about equally likely to it.
    assert run.logged_metrics["train/perplexity"] == pytest.approx(len(module.vocabulary), rel=0.01)
    loss = run.logged_metrics["train/loss"]
    assert run.logged_metrics["train/perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)


@pytest.mark.parametrize("val_num_steps", [1, 7, 64, 10_000])
def test_each_held_out_character_counts_once_in_whatever_pieces(
    tmp_path: Path, val_num_steps: int
) -> None:
    data = small_data(val_size=131, val_num_steps=val_num_steps)
    module = small_module(data)
    run = trainer(tmp_path)
    run.fit(module, datamodule=data)
    ids = torch.from_numpy(data.text.ids[-131:].astype("int64"))
    logits_TBV, _ = module.model(ids[:-1, None])
    # The first character is predicted by the output layer on a hidden state of zeros.
    logits_NV = torch.cat([module.model.output.bias[None], logits_TBV[:, 0]])
    loss = F.cross_entropy(logits_NV, ids).item()
    measured = run.validate(module, datamodule=data, verbose=False)[0]
    assert measured["val/loss"] == pytest.approx(loss, rel=1e-5)
    assert measured["val/perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert measured["val/bits_per_character"] == pytest.approx(loss / math.log(2), rel=1e-5)


def test_lanes_of_unequal_length_are_weighted_by_their_characters(tmp_path: Path) -> None:
    data = small_data(test_size=100, val_num_lanes=7, val_num_steps=4)
    module = small_module(data)
    trainer(tmp_path).fit(module, datamodule=data)
    ids = torch.from_numpy(data.text.ids[-100:].astype("int64"))
    # The first character is predicted by the output layer on a hidden state of zeros.
    nats = F.cross_entropy(module.model.output.bias, ids[0]).item()
    bounds = [99 * lane // 7 for lane in range(8)]
    for start, stop in itertools.pairwise(bounds):
        logits_TBV, _ = module.model(ids[start:stop, None])
        nats += F.cross_entropy(logits_TBV[:, 0], ids[start + 1 : stop + 1], reduction="sum").item()
    measured = trainer(tmp_path).test(module, datamodule=data, verbose=False)[0]
    assert measured["test/loss"] == pytest.approx(nats / 100, rel=1e-5)


def test_validation_in_mid_epoch_leaves_training_as_it_is(tmp_path: Path) -> None:
    data = small_data(val_size=100)
    after = []
    for options in ({"limit_val_batches": 0}, {"val_check_interval": 2}):
        module = small_module(data)
        trainer(tmp_path, **options).fit(module, datamodule=data)
        after.append(weights(module))
    assert_same(*after)


def test_a_loss_that_is_not_finite_stops_with_a_sentence(tmp_path: Path) -> None:
    data = small_data()
    module = small_module(data, learning_rate=1e38)
    with pytest.raises(UserError, match=r"epoch 0, step \d+ \(learning rate 1e\+38, norm .*lower"):
        trainer(tmp_path, gradient_clip_val=None).fit(module, datamodule=data)


def test_any_optimiser_and_scheduler_by_class_path(tmp_path: Path) -> None:
    data = small_data()
    module = small_module(
        data,
        learning_rate=0.01,
        optimizer="torch.optim.AdamW",
        optimizer_options={"weight_decay": 0.1},
        lr_scheduler="torch.optim.lr_scheduler.StepLR",
        lr_scheduler_options={"step_size": 1, "gamma": 0.5},
    )
    run = trainer(tmp_path)
    run.fit(module, datamodule=data)
    optimizer = run.optimizers[0]
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["weight_decay"] == 0.1
    assert optimizer.param_groups[0]["lr"] == 0.01 * 0.5**2


@pytest.mark.parametrize(
    ("path", "options"),
    [("torch.optim.Sgd", {}), ("nowhere.SGD", {}), ("SGD", {}), ("torch.optim.SGD", {"speed": 1})],
)
def test_an_optimiser_that_is_none_is_refused(
    tmp_path: Path, path: str, options: dict[str, Any]
) -> None:
    data = small_data()
    module = small_module(data, optimizer=path, optimizer_options=options)
    with pytest.raises(UserError, match=f"optimizer '{path}'"):
        trainer(tmp_path).fit(module, datamodule=data)


def test_a_run_is_reproducible_and_the_seed_matters(tmp_path: Path) -> None:
    after = []
    for seed in (1, 1, 2):
        data: CharDataModule = small_data(seed=seed)
        module = small_module(data)
        trainer(tmp_path).fit(module, datamodule=data)
        after.append(weights(module))
    assert_same(after[0], after[1])
    assert not torch.equal(after[0][0], after[2][0])
