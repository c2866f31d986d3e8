"""What UnitHistograms writes, read back from TensorBoard, and that training is the same with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.running import charlm, small_data, small_module, trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from charlm.errors import UserError
from charlm.training.callbacks import UnitHistograms


@pytest.mark.usefixtures("novel")
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_training_is_the_same_with_it_and_it_says_what_the_units_do(
    tmp_path: Path, cell: str
) -> None:
    weights = []
    for watched in (False, True):
        data = small_data()
        module = small_module(data, cell=cell, hidden_sizes=[6, 5])
        logger = TensorBoardLogger(tmp_path, "", "watched", default_hp_metric=False)
        callbacks = [UnitHistograms(every_n_steps=3)] if watched else []
        trainer(tmp_path, logger=logger if watched else False, callbacks=callbacks).fit(
            module, datamodule=data
        )
        weights.append([parameter.detach().clone() for parameter in module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))

    events = EventAccumulator(str(tmp_path / "watched"), size_guidance={"histograms": 0})
    events.Reload()
    gates = {
        "rnn": [],
        "gru": ["reset_gate", "update_gate"],
        "lstm": ["input_gate", "forget_gate", "output_gate"],
    }[cell]
    parts = ["hidden", *(["memory"] if cell == "lstm" else []), *gates]
    layers = ("layer1", "layer2")
    assert set(events.Tags()["histograms"]) == {f"units/{n}.{p}" for n in layers for p in parts}
    looks = [event.step for event in events.Histograms("units/layer1.hidden")]
    assert looks == list(range(0, 2 * len(data.sampler), 3))
    values = events.Histograms("units/layer2.hidden")[0].histogram_value
    assert values.num == 25 * 4 * 5, "steps, lanes, units"
    assert np.ptp(np.diff(values.bucket_limit)) < 1e-6, "bins of equal width"
    scalars = events.Tags()["scalars"]
    for gate in gates:
        (is_open, is_closed) = (
            events.Scalars(f"saturation/layer1.{gate}/{name}")[0].value
            for name in ("open", "closed")
        )
        assert 0 <= is_open + is_closed <= 1
    norms = {name for name in scalars if name.startswith("gradient_norm/")}
    assert {"gradient_norm/layer1.weight_hh", "gradient_norm/output.weight"} <= norms
    assert [event.step for event in events.Scalars("gradient_norm/layer2.weight_ih")] == looks


@pytest.mark.usefixtures("novel")
def test_an_option_adds_it_to_any_run(tmp_path: Path) -> None:
    outcome = charlm(
        *("fit", "--data.max_chars", 1200, "--data.num_lanes", 4, "--data.num_steps", 10),
        *("--model.hidden_sizes", "[8]", "--trainer.max_epochs", 1, "--samples.every_n_epochs", 0),
        *("--trainer.default_root_dir", tmp_path),
        "--trainer.callbacks+=charlm.training.callbacks.UnitHistograms",
        "--trainer.callbacks.every_n_steps=7",
    )
    assert outcome.code == 0, outcome.err
    events = EventAccumulator(str(tmp_path / "lightning_logs" / "version_0"))
    events.Reload()
    assert "units/layer1.hidden" in events.Tags()["histograms"]


def test_an_interval_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UserError, match="must be at least 1"):
        UnitHistograms(every_n_steps=0)
