"""Windows and Apple silicon, by simulation: no such machine has run these tests.

Hidden POSIX modules, renames that are refused as Windows refuses them, an encoding that isn't
UTF-8, and a training device without float64.
"""

import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from helpers.running import CONFIGS, charlm, small_data, small_module, trainer
from lightning.pytorch.callbacks import Callback
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from charlm.data.batch import Batch
from charlm.errors import UserError
from charlm.evaluation.scoring import score
from charlm.export.folder import write_folder
from charlm.recurrence import fastest, precision
from charlm.text.files import atomic_writer
from charlm.training.failures import told_in_a_sentence
from charlm.training.resume import last_checkpoint, machine
from charlm.training.resume.exact import random_state, restore_random

pytestmark = pytest.mark.usefixtures("novel")

POSIX_ALONE = ("fcntl", "resource", "pty", "tty", "termios", "pwd", "grp")
TINY = ("--data.max_chars", 700, "--model.hidden_sizes=[4]", "--trainer.max_epochs", 1)


# Windows


def test_training_needs_no_posix_module_and_no_utf8_locale(tmp_path: Path) -> None:
    """A whole run in another process, where what Windows lacks can't be imported or called."""
    config = tmp_path / "own.yaml"
    config.write_text("samples:\n  prefixes: ['naïve γν']\n  every_n_epochs: 0\n", encoding="utf-8")
    program = f"""
import sys
import lightning.pytorch.cli, tensorboard.summary.writer.event_file_writer, filelock
import torch.utils.tensorboard, multiprocessing.synchronize
for name in {POSIX_ALONE}:
    sys.modules[name] = None
import os
really = os.open
def open_file(path, *others, **options):
    if os.path.isdir(path):
        raise PermissionError(13, "a folder can't be opened", path)
    return really(path, *others, **options)
os.open = open_file
from charlm.cli import main
sys.exit(main())
"""
    arguments = ("fit", "--config", CONFIGS / "debug.yaml", "--config", config, *TINY)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environment = os.environ | {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    ended = subprocess.run(
        [*command, "--trainer.default_root_dir", str(tmp_path)],
        env=environment,
        capture_output=True,
        timeout=200,
    )
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")[-2000:]
    saved = (tmp_path / "lightning_logs/version_0/config.yaml").read_text(encoding="utf-8")
    assert "naïve γν" in saved
    assert (tmp_path / "lightning_logs/version_0/checkpoints/best.ckpt").is_file()


def test_a_file_that_a_reader_holds_is_replaced_when_it_is_let_go(tmp_path: Path) -> None:
    path, really = tmp_path / "last.ckpt", os.replace
    path.write_bytes(b"before")
    refusals = [PermissionError(13, "in use")] * 2

    def refusing(source: Path, target: Path) -> None:
        if refusals:
            raise refusals.pop()
        really(source, target)

    with mock.patch("os.replace", refusing), atomic_writer(path) as file:
        file.write(b"after")
    assert path.read_bytes() == b"after"


def test_an_empty_folder_makes_way_for_an_export(tmp_path: Path) -> None:
    really = os.rename

    def refusing(source: Path, target: Path) -> None:
        assert not Path(target).exists(), "Windows refuses it"
        really(source, target)

    (tmp_path / "export").mkdir()
    with mock.patch("os.rename", refusing):
        write_folder(tmp_path / "export", {"config.json": b"{}"})
    assert (tmp_path / "export" / "config.json").read_bytes() == b"{}"


@pytest.mark.posix
def test_ctrl_break_stops_a_run_where_there_is_one() -> None:
    program = """
import signal
signal.SIGBREAK = signal.SIGUSR1  # its stand-in
from charlm.training.resume.signals import NAMES, StopSignals
stop = StopSignals()
stop.take()
signal.raise_signal(signal.SIGUSR1)
assert NAMES[stop.received] == "Ctrl-Break"
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)


@pytest.mark.parametrize(
    ("name", "folder", "expected"),
    [("posix", "my runs/last.ckpt", "'my runs/last.ckpt'"), ("nt", "my runs\\a", '"my runs\\a"')],
)
def test_the_command_to_go_on_with_can_be_typed(
    monkeypatch: pytest.MonkeyPatch, name: str, folder: str, expected: str
) -> None:
    monkeypatch.setattr(last_checkpoint.os, "name", name)
    assert last_checkpoint.quoted(folder) == expected


def test_a_configuration_in_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes("seed_everything: 1 # naïve\n".encode("latin-1"))
    outcome = charlm("fit", "--config", tmp_path / "own.yaml")
    assert outcome.code == 1
    assert "own.yaml is not UTF-8" in outcome.err


# Apple silicon


class NoFloat64(TorchDispatchMode):
    """Notes where anything in float64 is made by an operation."""

    WIDE = (torch.float64, torch.complex64, torch.complex128)

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if any(isinstance(t, torch.Tensor) and t.dtype in self.WIDE for t in tree_leaves(out)):
            frames = [frame for frame in traceback.extract_stack() if "/charlm/" in frame.filename]
            self.found |= {f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {func}"}
        return out


class Watch(Callback):
    """Puts the mode around each training step."""

    def __init__(self, mode: NoFloat64) -> None:
        self.mode = mode

    def on_train_batch_start(self, *args: Any) -> None:
        self.mode.__enter__()

    def on_train_batch_end(self, *args: Any) -> None:
        self.mode.__exit__(None, None, None)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_training_device_is_given_no_float64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    """The CPU taken for a device without it: what is moved there, and what is computed there."""
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", ("cpu",))
    data = small_data(max_chars=700, val_size=100)
    module = small_module(data, cell=cell, hidden_sizes=[4], dropout=0.1)
    moved: set[torch.dtype] = set()

    def move(tensor: torch.Tensor) -> torch.Tensor:
        moved.add(tensor.dtype)
        return tensor.to("cpu")

    module._apply(move)
    assert torch.float64 not in moved
    mode = NoFloat64()
    trainer(tmp_path, callbacks=[Watch(mode)]).fit(module, datamodule=data)
    assert not mode.found


def test_sums_of_a_cpu_checkpoint_are_taken_up_in_the_devices_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = small_module(small_data(max_chars=700))
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", ("cpu",))
    sums = module.train_nats.to("cpu")
    sums.add(torch.tensor(6.0, dtype=torch.float64), torch.tensor(3.0, dtype=torch.float64))
    assert sums.nats.dtype == torch.float32
    assert sums.compute() == 2


def test_held_out_text_is_summed_in_float64_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    module = small_module(small_data(max_chars=700))
    expected = score(module.model, module.vocabulary, "time traveller").nats_N
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", ("cpu",))
    assert (score(module.model, module.vocabulary, "time traveller").nats_N == expected).all()


def test_copies_to_an_apple_gpu_are_waited_for() -> None:
    data = small_data(max_chars=700)
    batch = next(iter(data.train_dataloader()))
    asked: list[bool] = []

    class Copied:
        def to(self, device: Any, non_blocking: bool = False) -> torch.Tensor:
            asked.append(non_blocking)
            return torch.zeros(1)

    for device, waits in (("mps", True), ("cuda", False)):
        asked.clear()
        copied: Any = batch._replace(inputs_TB=Copied(), targets_TB=Copied())
        moved = data.transfer_batch_to_device(copied, torch.device(device), 0)
        assert isinstance(moved, Batch)
        assert asked == [not waits] * 2


def test_an_apple_gpu_runs_the_loop_that_defines_a_cell() -> None:
    cell = small_module(small_data(max_chars=700)).model.cells[0]
    assert fastest(cell, torch.device("mps")) == "eager"


def test_an_apple_gpu_s_generator_is_kept_and_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator of the CPU stands in for it."""
    theirs = torch.Generator().manual_seed(3)
    monkeypatch.setattr(torch.mps, "get_rng_state", theirs.get_state)
    monkeypatch.setattr(torch.mps, "set_rng_state", theirs.set_state)
    state = random_state(torch.device("mps"))
    first = torch.rand(5, generator=theirs)
    restore_random(state, torch.device("mps"))
    assert torch.equal(torch.rand(5, generator=theirs), first)
    # On a machine without one, and from one without: what both have is taken up.
    for device, kept in (("cpu", state), ("mps", random_state(torch.device("cpu")))):
        restore_random(kept, torch.device(device))


def test_what_an_apple_gpu_cannot_do_is_a_sentence() -> None:
    refusal = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support it"
    with pytest.raises(UserError, match="take --trainer"), told_in_a_sentence():
        raise TypeError(refusal)


# Bits and processors


def test_another_processor_or_version_is_told_in_a_line(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    kept = content["charlm"]["machine"]
    assert kept["torch"] == torch.__version__
    assert torch.backends.cpu.get_cpu_capability() in kept["processor"]
    assert machine.difference(kept, kept) is None
    assert machine.difference({}, kept) is None  # of a version that kept none
    kept["processor"] = "arm64 DEFAULT"
    torch.save(content, tmp_path / "last.ckpt")
    outcome = charlm(
        *("fit", "--ckpt_path", tmp_path / "last.ckpt", "--trainer.max_epochs", 11),
        *("--trainer.default_root_dir", tmp_path, "--samples.every_n_epochs", 0),
    )
    assert outcome.code == 0, outcome.err
    told = [line for line in outcome.err.splitlines() if "was written with" in line]
    assert len(told) == 1
    assert "arm64 DEFAULT (now " in told[0]
