"""CharLMModule: loss, carried state, optimiser, metrics.

T time steps · B lanes · V vocabulary
"""

import math
from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from charlm.cells.options import as_names
from charlm.checkpoint import named_as
from charlm.data.batch import Batch
from charlm.data.datamodule import CharDataModule
from charlm.dropout import check_probability, partly_fresh
from charlm.errors import UserError
from charlm.evaluation.protocol import log_probabilities, summed_nats
from charlm.model import CharLM, ModelState, detach
from charlm.text.vocabulary import Vocabulary
from charlm.training import schedules
from charlm.training.callbacks import module_callbacks
from charlm.training.metrics import NatsPerCharacter
from charlm.training.optimisers import optimiser
from charlm.training.resume import compatibility
from charlm.training.resume.exact import check_loss
from charlm.training.sizing import check_not_contradicted, sizing
from charlm.training.truncation import check_windows, reach_beyond, run_again
from charlm.training.weight_drop import WithDroppedWeights


class CharLMModule(L.LightningModule):
    """Train a ``CharLM`` by truncated back-propagation through time.

    One window of T steps is one batch, one ``training_step`` and one optimiser step, so that the
    Trainer's clipping, schedulers, precision and checkpoints work as they are. Whether the hidden
    state is carried (detached) or begins anew, each batch says for itself.

    Args:
        vocabulary: ``Vocabulary.config``, or a Vocabulary: saved in the checkpoint with the weights.
        learning_rate: of the optimiser.
        optimizer: ``adamw`` (only matrices decay), ``muon`` or ``soap`` (gate matrices by their rule,
            the rest by AdamW; see ``charlm.training.optimisers``), or a class path of ``torch.optim``.
        optimizer_options: its other arguments.
        schedule: the learning rate over the run's length: ``constant``, ``linear`` or ``cosine`` to
            its end, ``wsd`` (constant, then linear at the end); see ``charlm.training.schedules``.
        schedule_warmup: the share of the run in which the rate rises from zero.
        schedule_cooldown: the share of the run in which ``wsd`` falls.
        schedule_final: what the rate falls to, as a share of ``learning_rate``.
        lr_scheduler: in place of a schedule, a class path of ``torch.optim.lr_scheduler``.
        lr_scheduler_options: its arguments.
        lr_scheduler_interval: how often it is stepped: once a ``step``, or an ``epoch`` (none: an epoch).
        lr_scheduler_monitor: the metric that ReduceLROnPlateau looks at (none: the validation loss,
            without validation the training loss).
        ema_decay: 0 for none; else validation, checkpoints and the trained model use an exponential
            moving average of the weights, and each step keeps this share of it.
        weight_drop: probability with which, in training, a recurrent weight is zero for a window.
        fresh_state: probability with which a lane begins a window from zero instead of its carried state.
        dynamic_evaluation: ``segment``, ``rate`` and ``decay`` for ``charlm score --dynamic``, kept
            in the checkpoint.
        backprop_steps: through how many steps back-propagation goes, k2 of BPTT(k1, k2); none: a
            window's own T (k1). With more, the steps before the window are run again.
        size: ``auto`` sets hidden_sizes, weight_drop, output_dropout and input_dropout by the length
            of the training text, and trainer.max_steps where the run has no limit
            (``charlm.training.sizing``).
        num_characters: that length; the command line fills it in.
        **architecture: see ``charlm.model.CharLM``.

    Raises:
        UserError: a class path that names no class or arguments it doesn't take; in training,
            a loss that is not finite.
    """

    def __init__(
        self,
        vocabulary: dict[str, list[str] | str] | Vocabulary,
        learning_rate: float = 1.0,
        optimizer: str = "torch.optim.SGD",
        optimizer_options: dict[str, Any] | None = None,
        schedule: str = "constant",
        schedule_warmup: float = 0.0,
        schedule_cooldown: float = 0.2,
        schedule_final: float = 0.0,
        lr_scheduler: str | None = None,
        lr_scheduler_options: dict[str, Any] | None = None,
        lr_scheduler_interval: str | None = None,
        lr_scheduler_monitor: str | None = None,
        ema_decay: float = 0.0,
        weight_drop: float = 0.0,
        fresh_state: float = 0.0,
        dynamic_evaluation: dict[str, Any] | None = None,
        backprop_steps: int | None = None,
        size: str | None = None,
        num_characters: int | None = None,
        **architecture: Any,
    ) -> None:
        super().__init__()
        vocabulary = cast(dict[str, Any], getattr(vocabulary, "config", vocabulary))
        # In place, as ``save_hyperparameters`` reads it: a checkpoint holds plain types only.
        plain = as_names(architecture)
        architecture.clear()
        architecture.update(plain)
        self.sizing = None if size is None else sizing(size, num_characters)
        if self.sizing is not None:
            check_not_contradicted(self.sizing, {"weight_drop": weight_drop} | architecture)
            architecture.update(self.sizing.architecture)
            weight_drop = self.sizing.weight_drop
        self.save_hyperparameters(logger=False)
        if self.sizing is not None:
            # The command line has them taken from its configuration, as they were given.
            self.hparams.update(self.sizing.architecture | {"weight_drop": weight_drop})
        self.vocabulary = Vocabulary.from_config(vocabulary)
        self.model = CharLM(len(self.vocabulary), **architecture)
        # Neither a buffer nor a parameter: its lanes are this run's, not the model's.
        self.carried_state: ModelState | None = None
        self.staged_state: ModelState | None = None
        # [B, S], the characters since that state: where backprop_steps reaches beyond the window.
        self.carried_ids: Tensor | None = None
        self.staged_ids: Tensor | None = None
        self._held_out_state: ModelState | None = None
        self.grad_norm: Tensor | None = None
        self.train_nats, self.held_out_nats = NatsPerCharacter(), NatsPerCharacter()
        self._resumed_learning_rate: float | None = None
        for name in ("weight_drop", "fresh_state", "ema_decay"):
            check_probability(f"model.{name}", self.hparams[name])
        if fresh_state and backprop_steps is not None:
            raise UserError(
                "model.fresh_state and model.backprop_steps don't go together: what is run again "
                "begins at no fresh state; leave one of them out."
            )
        self._curve = schedules.Curve(schedule, schedule_warmup, schedule_cooldown, schedule_final)
        self._curve.check(lr_scheduler)

    def __setattr__(self, name: str, value: Any) -> None:
        # The Trainer notes here which hook is running, fifty times a step: not by torch's way,
        # which looks whether it is a parameter.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def setup(self, stage: str) -> None:
        """Raise a UserError for data of another vocabulary."""
        compatibility.check_vocabulary(self.vocabulary, getattr(self.trainer, "datamodule", None))

    def configure_callbacks(self) -> list[Callback]:
        return module_callbacks(self.hparams["ema_decay"])

    def forward(
        self, ids_TB: Tensor, state: ModelState | None = None, begins_TB: Tensor | None = None
    ) -> tuple[Tensor, ModelState]:
        """See ``CharLM.forward``."""
        return cast(tuple[Tensor, ModelState], self.model(ids_TB, state, begins_TB))

    # A run that goes on from a checkpoint

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise a UserError for options that the checkpoint can't be used with."""
        checkpoint["state_dict"] = named_as(self.state_dict(), checkpoint["state_dict"])
        if self._trainer is None:
            return  # CharLMModule.load_from_checkpoint: its options are the checkpoint's
        trainer: Any = self.trainer
        is_training = trainer.state.fn == TrainerFn.FITTING
        if is_training and trainer.datamodule:
            before = checkpoint.get("datamodule_hyper_parameters", {})
            compatibility.check_data(before, dict(trainer.datamodule.hparams))
        compatibility.check_model(self, checkpoint["hyper_parameters"])
        self._resumed_learning_rate = checkpoint["hyper_parameters"]["learning_rate"]

    def on_train_start(self) -> None:
        data: Any = getattr(self.trainer, "datamodule", None)
        if isinstance(data, CharDataModule):
            check_windows(self.hparams["backprop_steps"], data.hparams)
        if self._resumed_learning_rate is not None:
            now = self.hparams["learning_rate"]
            compatibility.change_learning_rate(self.trainer, self._resumed_learning_rate, now)
            self._resumed_learning_rate = None
        if not self._curve.is_flat:
            schedules.take_up(cast(Any, self.lr_schedulers()))

    # Training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean loss of one window, in nats per character."""
        state = self.carried_state if batch.continues else None
        reach = reach_beyond(
            self.hparams["backprop_steps"], len(batch.inputs_TB), batch.continues or batch_idx == 0
        )
        model: Any = self.model
        if self.hparams["weight_drop"]:
            model = WithDroppedWeights(self.model, self.hparams["weight_drop"])
        if state is not None and self.hparams["fresh_state"]:
            state = partly_fresh(state, self.hparams["fresh_state"])
        if reach:
            ids_BS = self.carried_ids if batch.continues else None
            logits_TBV, self.staged_state, self.staged_ids = run_again(
                model, batch.inputs_TB, state, ids_BS, reach, self.vocabulary.mark_id
            )
        else:
            logits_TBV, state = model(batch.inputs_TB, state, batch.begins_TB)
            self.staged_state = detach(state)
        loss = F.cross_entropy(logits_TBV.flatten(0, 1), batch.targets_TB.flatten())
        self.train_nats.update(loss.detach(), batch.targets_TB.numel())
        # On a GPU every look at a value is a wait, so only the steps that are logged are looked at.
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        # 0: the Trainer's `barebones`.
        is_logged = bool(every) and (self.trainer.global_step + 1) % every == 0
        if is_logged or loss.device.type == "cpu":
            check_loss(loss, self.grad_norm, self.trainer)
        if is_logged:
            self.log("train/loss_step", loss.detach(), sync_dist=True)
        return loss

    def on_train_epoch_end(self) -> None:
        nats = self.train_nats.compute()
        self.train_nats.reset()
        self.log("train/loss", nats, sync_dist=True)
        self.log("train/perplexity", nats.exp(), sync_dist=True)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """The Trainer's own clipping, with the norm before it kept for the log."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        self.grad_norm = get_total_norm(gradients)
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        is_logged = bool(every) and (self.trainer.global_step + 1) % every == 0
        if is_logged:
            self.log("train/grad_norm", self.grad_norm)
            self.log("train/lr", optimizer.param_groups[0]["lr"])
        if gradient_clip_algorithm == "value":
            if is_logged:
                self.log("train/grad_max", get_total_norm(gradients, math.inf))
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            clip_grads_with_norm_(parameters, gradient_clip_val, self.grad_norm)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        options: Any = self.hparams
        optimizer = optimiser(
            options.optimizer, self.model, options.learning_rate, options.optimizer_options or {}
        )
        scheduler = schedules.of_the_run(optimizer, self._curve, options, self.trainer)
        return cast(Any, {"optimizer": optimizer} | scheduler)

    # Validation and test: the state of their own, carried likewise

    def on_validation_epoch_start(self) -> None:
        self._held_out_state = None
        self.held_out_nats.reset()

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        state = self._held_out_state if batch.continues else None
        # The first process has the text's first character, in the first lane; before documents,
        # that is a mark, which is no document's.
        is_first = batch_idx == 0 and self.global_rank == 0
        begins_text = is_first and self.vocabulary.mark is None
        nats, num_characters, self._held_out_state = summed_nats(
            self.model, batch, state, begins_text
        )
        # One of several processes may have no target.
        self.held_out_nats.update(nats / num_characters.clamp(min=1), num_characters)

    test_step = validation_step

    def on_predict_epoch_start(self) -> None:
        self._held_out_state = None

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """log p [T, B, V] of each next character, in float64; the state is carried likewise."""
        state = self._held_out_state if batch.continues else None
        logits_TBV, self._held_out_state = self(batch.inputs_TB, state, batch.begins_TB)
        return log_probabilities(logits_TBV).cpu()

    def on_validation_epoch_end(self) -> None:
        self._log_held_out("val")

    def on_test_epoch_end(self) -> None:
        self._log_held_out("test")

    def _log_held_out(self, stage: str) -> None:
        nats = self.held_out_nats.compute()
        self.log(f"{stage}/loss", nats, sync_dist=True)
        self.log(f"{stage}/perplexity", nats.exp(), sync_dist=True)
        self.log(f"{stage}/bits_per_character", nats / math.log(2), sync_dist=True)
