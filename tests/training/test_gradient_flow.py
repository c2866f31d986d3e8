"""The gradient's way back through time: its norms against closed forms, and its histograms."""

import math
from pathlib import Path

import pytest
import torch
from helpers.running import charlm, small_data, small_module, trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from charlm.errors import UserError
from charlm.evaluation.gradient_flow import gradient_flow
from charlm.model import CharLM
from charlm.training.callbacks import GradientFlow

T, B, V, H = 12, 3, 9, 8


def window() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(V, (T + 1, B), generator=generator)
    return ids[:-1], ids[-1]


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_linear_recurrence_shrinks_or_grows_as_its_factor_says(factor: float) -> None:
    """h' = relu(x + factor · h) with everything positive: ∂h_t/∂h_(t-k) = factorᵏ."""
    model = CharLM(V, hidden_sizes=[H], cell_options={"nonlinearity": "relu"}).double()
    with torch.no_grad():
        model.cells[0].bias.fill_(1.0)
        model.cells[0].weight_hh.copy_(factor * torch.eye(H))
    norms = gradient_flow(model, *window())["layer1.hidden"]
    assert norms.shape == (T, B)
    for lane in range(B):
        ratios = norms[1:, lane] / norms[:-1, lane]
        torch.testing.assert_close(ratios, torch.full_like(ratios, factor))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("readout", ["last", "concat"])
def test_a_norm_is_what_a_push_at_that_state_does_to_the_loss(cell: str, readout: str) -> None:
    """By central differences, through the model itself: state in, state pushed, state on."""
    torch.manual_seed(0)
    model = CharLM(
        V, hidden_sizes=[5, 4], cell=cell, readout=readout, initialisation="uniform"
    ).double()
    ids_TB, targets_B = window()
    norms = gradient_flow(model, ids_TB, targets_B)
    names = model.cells[1].state_names
    assert set(norms) == {f"layer{layer}.{name}" for layer in (1, 2) for name in names}
    # The top layer: a push between two steps isn't seen by a layer above at the same step.
    for lag in (1, 4, T - 1):
        for name in names:
            expected_B = pushed(model, ids_TB, targets_B, lag, name).norm(dim=1)
            torch.testing.assert_close(norms[f"layer2.{name}"][lag], expected_B, rtol=1e-6, atol=0)


@torch.no_grad()
def pushed(
    model: CharLM, ids_TB: torch.Tensor, targets_B: torch.Tensor, lag: int, name: str
) -> torch.Tensor:
    """∂ the last step's loss / ∂ the top layer's state ``lag`` steps before, [B, H]."""
    step = 1e-5
    _, (below, top) = model(ids_TB[: T - lag])
    size = top[0].shape[1]
    pushes = torch.cat([step * torch.eye(size), -step * torch.eye(size)]).double()

    # Every push of every lane side by side, as lanes of one batch.
    def spread(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.repeat_interleave(2 * size, dim=0)

    hidden_BH, *memory = map(spread, top)
    push = pushes.repeat(B, 1)
    if name == "memory":
        # h = o tanh(c): the output gate stays, the output goes along.
        output_gate = hidden_BH / memory[0].tanh()
        memory = [memory[0] + push]
        hidden_BH = output_gate * memory[0].tanh()
    else:
        hidden_BH = hidden_BH + push
    state = (tuple(map(spread, below)), (hidden_BH, *memory))
    logits_TBV, _ = model(spread(ids_TB[T - lag :].t()).t(), state)
    losses = torch.nn.functional.cross_entropy(logits_TBV[-1], spread(targets_B), reduction="none")
    up, down = losses.reshape(B, 2, size).unbind(dim=1)
    return (up - down) / (2 * step)


def test_the_lower_layer_is_reached_through_the_upper_one() -> None:
    torch.manual_seed(0)
    model = CharLM(V, hidden_sizes=[5, 4], initialisation="uniform").double()
    ids_TB, targets_B = window()
    norms = gradient_flow(model, ids_TB, targets_B)
    assert norms["layer1.hidden"].min() > 0
    with torch.no_grad():
        model.cells[1].weight_ih.zero_()
    assert gradient_flow(model, ids_TB, targets_B)["layer1.hidden"].max() == 0


def test_looking_changes_neither_model_nor_gradients() -> None:
    torch.manual_seed(0)
    model = CharLM(V, hidden_sizes=[5], initialisation="uniform")
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with torch.no_grad():  # as it may stand inside a validation
        gradient_flow(model, *window())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.usefixtures("novel")
def test_training_is_the_same_with_it_and_its_histograms_stand_in_tensorboard(
    tmp_path: Path,
) -> None:
    weights = []
    for watched in (False, True):
        data = small_data()
        module = small_module(data, cell="lstm")
        flow = GradientFlow(every_n_steps=5, lags=(0, 3, 24, 99))
        logger = TensorBoardLogger(tmp_path, "", "watched", default_hp_metric=False)
        callbacks = [flow] if watched else []
        trainer(tmp_path, logger=logger if watched else False, callbacks=callbacks).fit(
            module, datamodule=data
        )
        weights.append([parameter.detach().clone() for parameter in module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))

    num_steps = 2 * len(data.sampler)
    assert list(flow.norms) == list(range(0, num_steps, 5))
    for norms in flow.norms.values():
        assert set(norms) == {"layer1.hidden", "layer1.memory"}
        assert all(values.shape == (25,) for values in norms.values())

    events = EventAccumulator(str(tmp_path / "watched"), size_guidance={"histograms": 0})
    events.Reload()
    expected = {
        f"gradient_flow/layer1.{part}/lag_{lag:02}"
        for part in ("hidden", "memory")
        for lag in (0, 3, 24)
    }
    assert set(events.Tags()["histograms"]) == expected
    for event in events.Histograms("gradient_flow/layer1.hidden/lag_00"):
        value = event.histogram_value
        assert value.num == 4  # a lane each
        mean = flow.norms[event.step]["layer1.hidden"][0].item()
        assert value.min - 1e-6 <= math.log10(mean) <= value.max + 1e-6


@pytest.mark.usefixtures("novel")
def test_the_state_is_the_one_that_training_carries(tmp_path: Path) -> None:
    data = small_data()
    module = small_module(data, learning_rate=0.0, initialisation="uniform")
    flow = GradientFlow(every_n_steps=1)
    trainer(tmp_path, max_epochs=1, callbacks=[flow]).fit(module, datamodule=data)
    starts = data.sampler.starts(0, 0)
    rows = data.text.ids[starts[None, :] + torch.arange(76)[:, None].numpy()].astype("int64")
    ids_TB = torch.from_numpy(rows)
    _, state = module.model(ids_TB[:50])
    norms = gradient_flow(module.model, ids_TB[50:75], ids_TB[75], state)
    torch.testing.assert_close(
        flow.norms[2]["layer1.hidden"], norms["layer1.hidden"].mean(dim=1), rtol=1e-4, atol=1e-12
    )


@pytest.mark.usefixtures("novel")
def test_a_configuration_adds_it_to_any_run(tmp_path: Path) -> None:
    outcome = charlm(
        *("fit", "--data.max_chars", 1200, "--data.num_lanes", 4, "--data.num_steps", 10),
        *("--model.hidden_sizes", "[8]", "--trainer.max_epochs", 1, "--samples.every_n_epochs", 0),
        *("--trainer.default_root_dir", tmp_path),
        "--trainer.callbacks+=charlm.training.callbacks.GradientFlow",
        "--trainer.callbacks.every_n_steps=7",
    )
    assert outcome.code == 0, outcome.err
    events = EventAccumulator(str(tmp_path / "lightning_logs" / "version_0"))
    events.Reload()
    assert "gradient_flow/layer1.hidden/lag_08" in events.Tags()["histograms"]
    assert "throughput/characters_per_second" in events.Tags()["scalars"]


@pytest.mark.parametrize("options", [{"every_n_steps": 0}, {"lags": [1, -1]}])
def test_intervals_and_lags_that_make_no_sense_are_refused(options: dict[str, list[int]]) -> None:
    with pytest.raises(UserError, match="must be at least 1"):
        GradientFlow(**options)  # type: ignore[arg-type]
