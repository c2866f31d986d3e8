"""Continuations of a few prefixes while a model trains."""

from collections.abc import Sequence
from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import Callback

from charlm.errors import UserError
from charlm.generation.context import check_prefix
from charlm.generation.generate import generate
from charlm.model import CharLM
from charlm.text.prefixes import most_frequent
from charlm.text.vocabulary import Vocabulary
from charlm.training.callbacks.progress_bar import write_line
from charlm.training.logger import tensorboard_writers
from charlm.training.watching import merely_watching


@merely_watching()
class TextSamples(Callback):
    """Continue prefixes greedily, to TensorBoard's text tab and to the terminal.

    Args:
        every_n_epochs: at the end of every so many epochs; 0 for never.
        every_n_steps: also every so many steps, as a large text has few epochs; 0 for never.
        prefixes: what to continue; none: the book's two on its own text, else two passages of the
            training text (``charlm.text.prefixes``).
        num_chars: by how many characters.

    Raises:
        UserError: one of the numbers is negative.
    """

    def __init__(
        self,
        every_n_epochs: int = 50,
        prefixes: Sequence[str] | None = None,
        num_chars: int = 50,
        every_n_steps: int = 0,
    ) -> None:
        numbers = {"every_n_epochs": every_n_epochs, "every_n_steps": every_n_steps}
        for name, number in (numbers | {"num_chars": num_chars}).items():
            if number < 0:
                raise UserError(f"samples.{name} is {number}: it can't be negative.")
        self.every_n_epochs = every_n_epochs
        self.every_n_steps = every_n_steps
        self._last_step = 0
        self.prefixes = prefixes
        self.num_chars = num_chars

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Raise a UserError for given prefixes that the model can't read."""
        if stage == "fit" and (self.every_n_epochs or self.every_n_steps):
            for prefix in self.prefixes or ():
                check_prefix(cast(Vocabulary, pl_module.vocabulary), prefix)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if self.every_n_epochs and epoch % self.every_n_epochs == 0 and trainer.is_global_zero:
            self._show(trainer, pl_module, f"epoch {epoch}")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        step = trainer.global_step
        if not self.every_n_steps or step == self._last_step:
            return
        self._last_step = step
        if step % self.every_n_steps == 0 and trainer.is_global_zero:
            self._show(trainer, pl_module, f"step {step}")

    def _show(self, trainer: L.Trainer, pl_module: L.LightningModule, when: str) -> None:
        model = cast(CharLM, pl_module.model)
        vocabulary = cast(Vocabulary, pl_module.vocabulary)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        prefixes = self.prefixes
        if prefixes is None:
            prefixes = getattr(data, "sample_prefixes", None) or (most_frequent(vocabulary),)
        for prefix in prefixes:
            text = generate(model, vocabulary, prefix, self.num_chars)
            write_line(f"{when}: {text}")
            for writer in tensorboard_writers(trainer):
                writer.add_text(f"samples/{prefix}", text, trainer.global_step)
