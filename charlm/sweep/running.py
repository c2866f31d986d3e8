"""One run of a sweep: ``charlm fit`` in its own folder, watched by what it reaches on held-out text."""

import contextlib
import math
import shutil
from argparse import ArgumentError
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from charlm.checkpoint import newest, read
from charlm.errors import UserError
from charlm.sweep.checking import arguments_of
from charlm.training.command_line import run
from charlm.training.metrics_file import NAME, read_curves

BITS = "bits_per_character"


class Watched(Callback):
    """Notes the held-out bits per character of each validation, and ends a run that is given up.

    Args:
        give_up: called with the validation's number, from 1, and its bits.
    """

    def __init__(self, give_up: Callable[[int, float], bool] | None = None) -> None:
        self.give_up = give_up
        self.bits: list[float] = []
        self.pruned = False

    @property
    def lowest(self) -> float:
        """The lowest of the bits; infinite where none is finite."""
        return min(filter(math.isfinite, self.bits), default=math.inf)

    def go_on_from(self, checkpoint: Path) -> None:
        """Know the validations before a run's ``last.ckpt``; later ones will be done again."""
        log = checkpoint.parent.parent
        curves = read_curves(log) if (log / NAME).is_file() else {}
        done = read(checkpoint)["global_step"]
        steps, bits = curves.get(f"val/{BITS}", ([], []))
        # A validation after the step that made N steps N + 1 is logged at N.
        self.bits = [each for step, each in zip(steps, bits, strict=True) if step < done]
        if self.give_up is not None:
            for number, each in enumerate(self.bits, start=1):
                self.give_up(number, each)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        self.bits.append(float(trainer.callback_metrics[f"val/{BITS}"]))
        if self.give_up is not None and self.give_up(len(self.bits), self.bits[-1]):
            self.pruned = trainer.should_stop = True


def fit(
    config: str | None,
    options: dict[str, str],
    seed: int,
    folder: Path,
    goes_on: bool = False,
    give_up: Callable[[int, float], bool] | None = None,
) -> Watched:
    """Train with a seed, in a folder of its own.

    Args:
        goes_on: where the folder's run was stopped or killed, from its last checkpoint. Else, and
            without a checkpoint, what is in the folder is removed.

    Returns:
        The bits of its validations; ``best.ckpt`` is where the lowest of them was.

    Raises:
        UserError: the run failed, and why.
    """
    watched = Watched(give_up)
    checkpoint = last_checkpoint(folder) if goes_on else None
    if checkpoint is None:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        options = options | {"ckpt_path": str(checkpoint)}
        watched.go_on_from(checkpoint)
    of_the_run = {
        "seed_everything": str(seed),
        "trainer.default_root_dir": str(folder),
        "trainer.enable_progress_bar": "false",
    }
    with told_into(folder / "output.txt"):
        run(arguments_of(config, options | of_the_run), callbacks=[watched])
    if not watched.bits:
        raise UserError("It ended before a validation: give it more steps.")
    if not math.isfinite(watched.lowest):
        raise UserError("No validation had a finite loss: lower model.learning_rate.")
    return watched


def last_checkpoint(folder: Path) -> Path | None:
    """Where the run stands that was begun in a folder; none where it wasn't written yet."""
    try:
        return newest(folder, ["last"])
    except UserError:
        return None


def fit_and_test(
    config: str | None, options: dict[str, str], seed: int, folder: Path, goes_on: bool
) -> dict[str, Any]:
    """Train with a seed, as ``fit`` does, and measure the best checkpoint on the test text.

    Returns:
        ``seed``; ``val`` and ``test``, in bits per character.
    """
    watched = fit(config, options, seed, folder, goes_on)
    (checkpoint,) = folder.glob("lightning_logs/version_*/checkpoints/best.ckpt")
    with told_into(folder / "output.txt"):
        arguments = ["test", "--ckpt_path", str(checkpoint), "--trainer.logger=false"]
        tested = run([*arguments, "--trainer.enable_progress_bar=false"])
    bits = float(tested.trainer.callback_metrics[f"test/{BITS}"])
    return {"seed": seed, "val": watched.lowest, "test": bits}


@contextlib.contextmanager
def told_into(path: Path) -> Iterator[None]:
    """What a run would print goes into a file.

    Raises:
        UserError: also in place of a mistake in the options themselves.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(path, "a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        try:
            yield
        except ArgumentError as mistake:
            raise UserError(" ".join(str(mistake).split())) from mistake
