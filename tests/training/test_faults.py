"""Faults that a run may meet: each is told in a sentence, and the last good checkpoint loads."""

import io
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from helpers.resuming import Run, differences, in_a_process
from helpers.running import CONFIGS, Outcome, charlm
from lightning.pytorch.callbacks import Callback

from charlm.checkpoint import load, read
from charlm.errors import UserError
from charlm.training.command_line import run as run_command
from charlm.training.resume.whole_files import WholeFiles

pytestmark = [
    pytest.mark.usefixtures("novel"),
    # Each child runs Python alone: of threads of the parent it needs none.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

SMALL = ("--data.max_chars", 1200, "--model.hidden_sizes=[8]", "--trainer.max_epochs", 2)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run on a file of one's own, novel.txt."""
    folder = tmp_path_factory.mktemp("begun")
    novel = Path(os.environ["CHARLM_DATA"]) / "timemachine.txt"
    (folder / "novel.txt").write_text(novel.read_text(encoding="utf-8")[:3000], encoding="utf-8")
    outcome = fit(folder, "--config", CONFIGS / "debug.yaml", *SMALL, *text_of(folder))
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def copied(begun: Path, tmp_path: Path) -> Path:
    """``begun``, to spoil."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    return tmp_path


def fit(folder: Path, *arguments: object) -> Outcome:
    return charlm("fit", "--trainer.default_root_dir", folder, *arguments)


def text_of(folder: Path) -> tuple[object, ...]:
    return ("--data.path", folder / "novel.txt")


def go_on(folder: Path, *arguments: object) -> Outcome:
    limits = ("--trainer.max_epochs", 4, "--checkpoint.every_n_train_steps", 1)
    return fit(folder, "--ckpt_path", "last", *limits, *text_of(folder), *arguments)


def last_of(folder: Path) -> Path:
    return folder / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"


def assert_told(outcome: Outcome, *told: str) -> None:
    """Exit code 1 and one sentence about what is wrong."""
    assert outcome.code == 1, outcome.err
    # Beside what is said of any run: where it goes on, how far it is, what it writes.
    usual = ("charlm: going on from", "training ", "epoch ")
    lines = [line for line in outcome.err.splitlines() if not line.startswith(usual)]
    assert len(lines) == 1, outcome.err
    for each in told:
        assert each in lines[0]


# The disk


def test_a_full_disk_leaves_the_checkpoint_before(copied: Path) -> None:
    before = last_of(copied).read_bytes()
    limit = len(before) // 2

    def work() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        assert_told(go_on(copied), "Can't write", "last.ckpt: File too large")

    assert os.waitpid(in_a_process(work), 0)[1] == 0
    assert last_of(copied).read_bytes() == before
    assert {path.name for path in last_of(copied).parent.glob("*.ckpt*")} == {
        "best.ckpt",
        "last.ckpt",
    }
    assert go_on(copied).code == 0


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    outcome = fit(tmp_path / "file", "--config", CONFIGS / "debug.yaml", *SMALL)
    assert_told(outcome, "file", "--trainer.default_root_dir")


def test_two_processes_do_not_train_into_one_folder(copied: Path) -> None:
    class Meanwhile(Callback):
        outcome: Outcome | None = None

        def on_train_start(self, *args: Any) -> None:
            if self.outcome is None:
                self.outcome = Outcome(1, "", "")
                self.outcome = go_on(copied)

    meanwhile = Meanwhile()
    arguments = ("--ckpt_path", last_of(copied), "--trainer.max_epochs", 3, *text_of(copied))
    with mock.patch.object(sys, "argv", ["charlm"]):
        run_command(["fit", *map(str, arguments)], [meanwhile])
    assert meanwhile.outcome is not None
    assert_told(meanwhile.outcome, "Another process is training into")
    assert go_on(copied).code == 0


# The checkpoint file


def same_content(path: Path, content: dict[str, Any]) -> bool:
    """Whether a damaged file reads as the whole one; False if it is refused in a sentence."""
    try:
        damaged = read(path)
    except UserError:
        return False
    assert not differences(damaged, content)
    return True


def test_a_truncated_checkpoint_is_refused(begun: Path, tmp_path: Path) -> None:
    whole = last_of(begun).read_bytes()
    content = read(last_of(begun))
    lengths = random.Random(0)
    path = tmp_path / "truncated.ckpt"
    for length in [0, 1, len(whole) - 1, *(lengths.randrange(len(whole)) for _ in range(50))]:
        path.write_bytes(whole[:length])
        assert not same_content(path, content)


def test_a_flipped_bit_is_noticed_or_without_effect(begun: Path, tmp_path: Path) -> None:
    whole = last_of(begun).read_bytes()
    content = read(last_of(begun))
    bits = random.Random(0)
    path = tmp_path / "flipped.ckpt"
    # Anywhere, and in the archive's directory at its end, where the bytes aren't content.
    places = [bits.randrange(8 * len(whole)) for _ in range(200)]
    places += [8 * len(whole) - 1 - bits.randrange(8 * 4000) for _ in range(200)]
    refused = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        refused += not same_content(path, content)
    assert refused > 100


@pytest.mark.parametrize("command", ["fit", "validate", "generate"])
def test_a_damaged_checkpoint_is_told_by_every_command(copied: Path, command: str) -> None:
    path = last_of(copied)
    damaged = bytearray(path.read_bytes())
    # More than the padding before an entry, which holds nothing.
    middle = len(damaged) // 2
    damaged[middle : middle + 200] = bytes(byte ^ 1 for byte in damaged[middle : middle + 200])
    path.write_bytes(damaged)
    option = "--checkpoint" if command == "generate" else "--ckpt_path"
    outcome = charlm(command, option, path)
    assert_told(outcome, str(path), "damaged")


@pytest.mark.parametrize("command", ["fit", "generate"])
def test_code_in_a_checkpoint_is_not_run(copied: Path, command: str) -> None:
    class Malice:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(copied / "run"),)

    path = last_of(copied)
    torch.save(read(path) | {"callbacks": Malice()}, path)
    assert pickle.loads(pickle.dumps(Malice())) is None
    (copied / "run").rmdir()
    option = "--checkpoint" if command == "generate" else "--ckpt_path"
    assert_told(charlm(command, option, path), str(path))
    assert not (copied / "run").exists()


def test_what_is_no_checkpoint_is_told(copied: Path) -> None:
    path = copied / "other.ckpt"
    for content in (b"", b"hello", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged or of another kind"):
            read(path)
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="no charlm checkpoint"):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("file", "content")
    with pytest.raises(UserError, match="damaged or of another kind"):
        read(path)


# Those of a program that saves no more, and of `trainer.save_checkpoint(path, weights_only=True)`.
@pytest.mark.parametrize("kept", ["model", "all but the optimiser"])
def test_a_checkpoint_without_training_state_is_told(copied: Path, kept: str) -> None:
    content = read(last_of(copied))
    names = {"state_dict", "hyper_parameters"}
    if kept != "model":
        names = content.keys() - {"optimizer_states", "lr_schedulers"}
    WholeFiles().save_checkpoint({name: content[name] for name in names}, last_of(copied))
    assert_told(go_on(copied), "weights and no more")


def test_a_checkpoint_of_a_gpu_is_read_without_one(begun: Path, tmp_path: Path) -> None:
    content = read(last_of(begun))
    path = tmp_path / "last.ckpt"
    with mock.patch("torch.serialization.location_tag", return_value="cuda:0"):
        torch.save(content, path)
    with zipfile.ZipFile(path) as archive:
        (pickled,) = [archive.read(name) for name in archive.namelist() if "data.pkl" in name]
    assert b"cuda:0" in pickled
    assert not differences(read(path), content)
    assert next(load(path).model.parameters()).device.type == "cpu"
    outcome = charlm("fit", "--ckpt_path", path, "--trainer.default_root_dir", tmp_path)
    assert outcome.code == 0, outcome.err


# The corpus


def test_a_text_that_has_changed_is_noticed(copied: Path) -> None:
    # Another file of the same text is the same text.
    assert go_on(copied).code == 0
    other = ("--data.corpus", "time-machine", "--data.path", "null", "--data.normalisation", "none")
    assert_told(go_on(copied, *other), "reads time")
    text = copied / "novel.txt"
    text.write_text(text.read_text(encoding="utf-8").replace("the", "hte", 1), encoding="utf-8")
    in_place = ("--ckpt_path", last_of(copied), "--trainer.max_epochs", 6)
    told = "novel.txt changed", "--data.allow_changed_corpus true"
    assert_told(fit(copied, *in_place), *told)
    outcome = fit(copied, *in_place, "--data.allow_changed_corpus", "true")
    assert outcome.code == 0, outcome.err


def test_a_text_of_fewer_characters_is_read_in_the_checkpoint_s_vocabulary(copied: Path) -> None:
    text = copied / "novel.txt"
    text.write_text(text.read_text(encoding="utf-8").replace("a", ""), encoding="utf-8")
    before = read(last_of(copied))["hyper_parameters"]["vocabulary"]
    assert_told(go_on(copied), "give the text as it was")
    allowed = go_on(copied, "--data.allow_changed_corpus", "true")
    assert allowed.code == 0, allowed.err
    assert read(last_of(copied))["hyper_parameters"]["vocabulary"] == before


def test_a_longer_text_may_go_on_in_mid_epoch(tmp_path: Path) -> None:
    options = {"data": {"max_chars": 700}, "module": {"hidden_sizes": [8]}}
    run = Run(tmp_path, **options, trainer={"max_epochs": 4}).go(max_steps=9)
    run.data = {
        "max_chars": 700,
        "allow_changed_corpus": True,
        "path": tmp_path / "text",
        "normalisation": "book",
    }
    novel = Path(os.environ["CHARLM_DATA"]) / "timemachine.txt"
    (tmp_path / "text").write_text("the " + novel.read_text(encoding="utf-8"), encoding="utf-8")
    epochs = run.go(resume=True).result["step"] / 6
    assert epochs == 4


# The run itself


def test_weights_that_are_no_numbers_are_not_saved(copied: Path) -> None:
    before = last_of(copied).read_bytes()
    rate = ("--model.learning_rate", "1e38", "--trainer.gradient_clip_val", "1e38")
    outcome = go_on(copied, *rate)
    assert_told(
        outcome, "finite" if "finite" in outcome.err else "The loss is", str(last_of(copied))
    )
    content = read(last_of(copied))
    assert all(bool(torch.isfinite(weight).all()) for weight in content["state_dict"].values())
    assert len(before) > 0


class Spoiling(Callback):
    """Puts a NaN where no look at the loss will notice it."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if trainer.global_step == 3:
            with torch.no_grad():
                pl_module.model.output.bias[0] = float("nan")


def test_a_checkpoint_is_never_written_with_a_nan(tmp_path: Path) -> None:
    run = Run(tmp_path, {}, {"hidden_sizes": [8]}, every_n_train_steps=1)
    with pytest.raises(UserError, match=r"aren't finite any more after step 3, .*last\.ckpt"):
        run.go(Spoiling())
    assert read(run.last)["global_step"] == 2


@pytest.mark.parametrize(
    ("error", "options", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), (), "lower data.num_steps"),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
            ),
            ("--data.num_lanes", 50, "--data.num_steps", 10),
            "lower data.num_lanes",
        ),
        (
            MemoryError(),
            ("--data.num_lanes", 1, "--data.num_steps", 5, "--model.hidden_sizes=[200]"),
            "lower model.hidden_sizes",
        ),
    ],
)
def test_out_of_memory_says_what_to_lower(
    tmp_path: Path, error: Exception, options: tuple[object, ...], told: str
) -> None:
    with mock.patch("charlm.model.CharLM.forward", side_effect=error):
        outcome = fit(tmp_path, "--config", CONFIGS / "debug.yaml", *SMALL, *options)
    assert_told(outcome, "Out of memory", told)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux alone tells its memory")
def test_memory_that_is_really_refused(tmp_path: Path) -> None:
    """The allocator's own error, under a limit of the system's."""
    program = (
        "import resource, sys\n"
        "from charlm.cli import main\n"
        "import charlm.training.command_line\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))\n"
        "sys.exit(main())\n"
    )
    options = (
        "--data.max_chars",
        "null",
        "--data.num_lanes",
        "3500",
        "--model.hidden_sizes=[4000]",
    )
    arguments = ("fit", "--config", CONFIGS / "debug.yaml", *SMALL, *options)
    root = ("--trainer.default_root_dir", tmp_path)
    outcome = subprocess.run(
        [sys.executable, "-c", program, *map(str, (*arguments, *root))],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert_told(Outcome(outcome.returncode, outcome.stdout, outcome.stderr), "Out of memory")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--trainer.devices", 0), "devices"),
        (("--trainer.val_check_interval", 1000), "val_check_interval"),
        (("--trainer.precision", "8-true"), "precision"),
        (("--trainer.max_steps", -5), "max_steps"),
        (("--checkpoint.every_n_train_steps", 0), "checkpoint.every_n_train_steps is 0"),
        (("--trainer.accumulate_grad_batches", 0), "accumulate_grad_batches is 0"),
        (("--trainer.check_val_every_n_epoch", 0), "check_val_every_n_epoch is 0"),
        (("--trainer.val_check_interval", 0), "val_check_interval is 0"),
        (("--trainer.gradient_clip_val", -1), "gradient_clip_val is -1"),
        (("--trainer.min_epochs", 9), "min_epochs is 9, and max_epochs 2"),
        (("--trainer.accelerator", "tpu"), "needs the package torch_xla"),
        (("--trainer.callbacks=Timer",), "charlm: These options don't go together"),
        (("--trainer.callbacks=charlm.training.callbacks.BestCheckpoint",), "BestCheckpoint"),
        (("--trainer.callbacks=BackboneFinetuning",), "no attribute 'backbone'"),
        (("--samples.num_chars", -1), "samples.num_chars is -1"),
        (("--seed_everything", 2**32), "seed_everything is 4294967296"),
        (("--data.val_num_lanes", 0), "val_num_lanes is 0"),
        (('--model.optimizer_options={"lr": 1}',), "as model.learning_rate"),
        (("--model.optimizer", "Adam"), "name its class by its path"),
    ],
)
def test_what_lightning_refuses_is_a_sentence(
    tmp_path: Path, options: tuple[object, ...], told: str
) -> None:
    outcome = fit(tmp_path, "--config", CONFIGS / "debug.yaml", *SMALL, *options)
    assert outcome.code in (1, 2)
    assert told in outcome.err
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--data.num_lanes", 0), "num_lanes is 0"),
        (("--data.num_steps", -1), "num_steps is -1"),
        (("--data.val_size", 1), "val_size holds out a single character"),
        (("--data.val_size", 0, "--early_stopping.patience", 2), "set data.val_size"),
        (("--model.backprop_steps", 60, "--data.sampling", "random"), "begins anew"),
        (("--model.backprop_steps", 60, "--data.carry", "false"), "begins anew"),
        (("--model.backprop_steps", 60, "--data.num_steps_jitter", 3), "don't go together"),
        (("--model.hidden_sizes=[100000000]",), "Out of memory: lower model.hidden_sizes"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_written(
    tmp_path: Path, options: tuple[object, ...], told: str
) -> None:
    outcome = fit(tmp_path, "--config", CONFIGS / "debug.yaml", *SMALL, *options)
    assert outcome.code == 1
    assert told in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--data.num_lanes", "num_lanes is 0"),
        ("--data.num_steps", "num_steps is 0"),
        ("--trainer.accumulate_grad_batches", "accumulate_grad_batches is 0"),
    ],
)
def test_a_run_that_is_as_long_as_its_text_says_needs_numbers_too(
    copied: Path, tmp_path: Path, option: str, told: str
) -> None:
    outcome = fit(tmp_path, "--config", "own-text", "--data.path", copied / "novel.txt", option, 0)
    assert outcome.code == 1
    assert told in outcome.err
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ("--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=val_loss"),
            "metric `val_loss` which is not available",
        ),
        (("--model.optimizer", "torch.optim.SparseAdam"), "does not support dense gradients"),
    ],
)
def test_what_fails_in_training_by_a_wrong_option_is_a_sentence(
    tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    assert_told(fit(tmp_path, "--config", CONFIGS / "debug.yaml", *SMALL, *options), told)


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    """Written beside, synchronised, renamed: in this order."""
    calls: list[str] = []
    path = tmp_path / "last.ckpt"
    with (
        mock.patch("os.fsync", side_effect=lambda *_: calls.append("fsync")),
        mock.patch("os.replace", side_effect=lambda *_: calls.append("replace")),
    ):
        WholeFiles().save_checkpoint({"weights": torch.zeros(3)}, path)
    assert calls == ["fsync", "replace"]
    WholeFiles().save_checkpoint({"weights": torch.zeros(3)}, path)
    assert torch.load(io.BytesIO(path.read_bytes()), weights_only=True)["weights"].shape == (3,)


def test_ctrl_c_before_the_first_batch(novel: str, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        with mock.patch(
            "charlm.training.callbacks.HyperParameters.setup", side_effect=KeyboardInterrupt
        ):
            outcome = fit(tmp_path, "--config", CONFIGS / "debug.yaml")
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning has it ignored
    assert outcome.code == 130
    assert "Stopped by Ctrl-C before there was anything to save" in outcome.err
    assert "Traceback" not in outcome.err


def strike(*arguments: Any, **options: Any) -> None:
    signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def unhandled() -> None:
    """As in a process of its own: a run that failed in this one may have left a handler."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.mark.usefixtures("unhandled")
@pytest.mark.parametrize(
    "place", ["charlm.training.callbacks.HyperParameters.setup", "charlm.data.datamodule.read_text"]
)
def test_sigterm_before_the_first_batch(novel: str, tmp_path: Path, place: str) -> None:
    with mock.patch(place, strike):
        outcome = fit(tmp_path, "--config", CONFIGS / "debug.yaml")
    assert (outcome.code, outcome.err) == (143, "charlm: Stopped by SIGTERM.\n")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.usefixtures("unhandled")
def test_sigterm_as_lightning_tries_validation_out(tmp_path: Path) -> None:
    with mock.patch(
        "charlm.training.module.CharLMModule.validation_step",
        strike,
    ):
        outcome = fit(tmp_path, "--config", CONFIGS / "debug.yaml", *SMALL)
    assert (outcome.code, outcome.err) == (143, "charlm: Stopped by SIGTERM.\n")


def test_weights_go_from_process_to_process(tmp_path: Path) -> None:
    """As Lightning's ddp_spawn and ddp_notebook hand them on, in a file that is no checkpoint."""
    WholeFiles().save_checkpoint({"weight": torch.ones(2)}, tmp_path / ".temp.ckpt")
    found = WholeFiles().load_checkpoint(tmp_path / ".temp.ckpt")
    assert torch.equal(found["weight"], torch.ones(2))
