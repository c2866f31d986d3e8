"""Runs in mixed precision (`trainer.precision: bf16-mixed`): what they write, and how they go on."""

from pathlib import Path

import pytest
import torch
from helpers.resuming import Run, assert_same
from helpers.running import charlm
from training.test_resume import TEXT, SignalAt

from charlm.checkpoint import read

pytestmark = pytest.mark.usefixtures("novel")


def test_a_run_goes_on_to_the_bit_and_its_checkpoint_scores_and_writes(tmp_path: Path) -> None:
    case = {
        "data": TEXT | {"val_size": 60},
        "module": {"cell": ["gru", "lstm", "min_gru"], "hidden_sizes": [8, 8, 8], "dropout": 0.3},
        "trainer": {"max_epochs": 2, "precision": "bf16-mixed"},
    }
    alone = Run(tmp_path / "alone", **case).go()
    run = Run(tmp_path / "stopped", **case)
    for step in (2, 7):  # within the first epoch and the second
        run.stopped(SignalAt(step), resume=step > 2)
    run.go(resume=True)
    assert_same(run, alone)

    checkpoint = read(run.last)
    floats = [x for x in checkpoint["state_dict"].values() if x.is_floating_point()]
    assert {x.dtype for x in floats} == {torch.float32}
    single = Run(tmp_path / "single", **case).go(precision="32-true")
    bits = []
    for one in (run, single):
        scored = charlm("score", "--checkpoint", one.last, "--held_out", "val")
        assert scored.code == 0, scored.err
        bits.append(float(scored.out.split()[-2]))
    assert bits[0] == pytest.approx(bits[1], rel=1e-3)
    assert run.metrics != single.metrics
    written = charlm("generate", "--checkpoint", run.last, "--prefix", "time", "--num_chars", 5)
    assert written.code == 0
    assert written.out.startswith("time")
