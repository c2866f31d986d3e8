"""The commit of the carried state, when its batch has ended."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback


class CarriedState(Callback):
    """Commit the hidden state when its batch has ended.

    The module stages each batch's last state. It counts only once the optimiser's step is done, so
    that ``ExactResume`` saves weights and state of the same moment. The module's own hook would
    be too late: it runs after the checkpoint callbacks.
    """

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        pl_module.carried_state = pl_module.staged_state
        pl_module.carried_ids = pl_module.staged_ids
