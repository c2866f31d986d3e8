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

from charlm.errors import UserError
from charlm.sweep.checking import arguments_of
from charlm.training.command_line import run

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
    give_up: Callable[[int, float], bool] | None = None,
) -> Watched:
    """Train with a seed, in a folder whose earlier content, of a run that was killed, is removed.

    Returns:
        The bits of its validations; ``best.ckpt`` is where the lowest of them was.

    Raises:
        UserError: the run failed, and why.
    """
    shutil.rmtree(folder, ignore_errors=True)
    watched = Watched(give_up)
    of_the_run = {
        "seed_everything": str(seed),
        "trainer.default_root_dir": str(folder),
        "trainer.enable_progress_bar": "false",
    }
    with told_into(folder / "output.txt"):
        run(arguments_of(config, options | of_the_run), callbacks=[watched])
    if not watched.bits or not math.isfinite(min(watched.bits)):
        raise UserError("It ended before a validation: give it more steps.")
    return watched


def fit_and_test(
    config: str | None, options: dict[str, str], seed: int, folder: Path
) -> dict[str, Any]:
    """Train with a seed, and measure the best checkpoint on the test text.

    Returns:
        ``seed``; ``val`` and ``test``, in bits per character.
    """
    watched = fit(config, options, seed, folder)
    (checkpoint,) = folder.glob("lightning_logs/version_*/checkpoints/best.ckpt")
    with told_into(folder / "output.txt"):
        arguments = ["test", "--ckpt_path", str(checkpoint), "--trainer.logger=false"]
        tested = run([*arguments, "--trainer.enable_progress_bar=false"])
    bits = float(tested.trainer.callback_metrics[f"test/{BITS}"])
    return {"seed": seed, "val": min(watched.bits), "test": bits}


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
