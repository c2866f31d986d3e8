"""What a checkpoint keeps so that a resumed run ends with the same bits as one never stopped.

Lightning keeps the weights, the optimiser, the schedulers and its counters. Beside them stand
here, for every process of the run, its random generators, the carried state of its lanes, and
the epoch's loss so far.
"""

import math
import random
import sys
from collections.abc import Sequence
from typing import Any, cast

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, distributed

from charlm.checkpoint import plain_names
from charlm.data.loaders import TrainingBatches
from charlm.data.samplers import share
from charlm.errors import UserError
from charlm.training.resume.machine import difference, machine
from charlm.training.resume.position import position_of, put_counters_right, set_position

# The entry in the checkpoint.
KEY = "charlm"
# Lightning's, of a run with averaged weights: those that training goes on with.
OWN_WEIGHTS = "current_model_state"


class ExactResume(Callback):
    """Put into every checkpoint what Lightning leaves out, and take it up again."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None
        self._num_logged: int | None = None
        self._epoch_nats: dict[str, Tensor] = {}
        self._own_weights: dict[str, Tensor] | None = None

    # Save

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # The module takes its sums to zero next. But where a run ends in mid-epoch (max_steps), the
        # epoch isn't over for the run that goes on from there.
        self._epoch_nats = nats_so_far(pl_module)
        if averages_weights(trainer):
            # At the run's end Lightning puts the average in their place, and the last checkpoint is
            # written after that.
            weights = plain_names(pl_module.state_dict())
            self._own_weights = {name: weight.clone() for name, weight in weights.items()}

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        self._own_weights = None
        if self._num_logged is not None:
            # Lightning assumes a checkpoint from the end of a batch, and adds that batch.
            trainer.fit_loop.epoch_loop._batches_that_stepped = self._num_logged
            self._num_logged = None
        has_metrics(trainer)

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        for part in ("state_dict", OWN_WEIGHTS):
            if part in checkpoint:
                checkpoint[part] = plain_names(checkpoint[part])
        if self._own_weights is not None and OWN_WEIGHTS in checkpoint:
            checkpoint[OWN_WEIGHTS] = self._own_weights
        own_state = carried_state(pl_module)
        check_finite(trainer, [*checkpoint["state_dict"].values(), *sum(own_state or (), ())])
        counters = checkpoint["loops"]["fit_loop"]
        position = position_of(trainer)
        set_position(trainer, counters, position)
        own = {
            "random": random_state(pl_module.device),
            "carried": own_state,
            "carried_ids": carried_ids(pl_module),
            "nats": self._epoch_nats if position.ended_in_mid_epoch else nats_so_far(pl_module),
        }
        num_logged = counters["epoch_loop.state_dict"]["_batches_that_stepped"]
        checkpoint[KEY] = {
            "processes": gathered(own),
            "num_logged": num_logged if position.is_between_batches else None,
            "machine": machine(pl_module.device),
        }

    # Resume

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        check_resumable(checkpoint)
        self._loaded = checkpoint[KEY]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if isinstance(trainer.train_dataloader, TrainingBatches):
            trainer.train_dataloader.follow(trainer)
        rank, num_processes = trainer.global_rank, trainer.world_size
        loaded, self._loaded = self._loaded, None
        processes: list[dict[str, Any]] = loaded["processes"] if loaded else []
        if rank < len(processes):
            restore_random(processes[rank]["random"], pl_module.device)
        elif rank > 0:
            # Lightning seeds all processes alike: they would drop out the same units.
            torch.manual_seed(torch.initial_seed() + rank)
        # Also where one process found nothing to go on from: another may have.
        check_same_everywhere(trainer)
        if loaded is None:
            return
        changed = difference(loaded.get("machine", {}), machine(pl_module.device))
        if changed and trainer.is_global_zero:
            print(f"charlm: {changed}", file=sys.stderr)
        processes = [with_ids_apart(own) for own in processes]
        module = cast(Any, pl_module)
        states, ids = ([own[name] for own in processes] for name in ("carried", "carried_ids"))
        module.carried_state = restored_state(states, module.device, rank, num_processes)
        module.carried_ids = restored_ids(ids, module.device, rank, num_processes)
        for own in processes[rank::num_processes]:
            module.train_nats.add(**own["nats"])
        self._num_logged = loaded["num_logged"]
        put_counters_right(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            has_metrics(trainer)


def has_metrics(trainer: L.Trainer) -> None:
    """Let the schedulers that look at a metric be asked at the end of a resumed epoch.

    Lightning doesn't ask them, since a checkpoint keeps no metrics; but a batch trained on, or a
    validation begun anew, gives them anew.
    """
    trainer.fit_loop._restarting = False


def averages_weights(trainer: L.Trainer) -> bool:
    """Whether a callback exchanges the weights for their average, in validation and at the end."""
    return any(isinstance(each, WeightAveraging) for each in trainer.callbacks)  # type: ignore[attr-defined]


def last_written(trainer: L.Trainer) -> str:
    """Where the checkpoint to resume from is, as the end of a sentence about a run that failed."""
    for callback in trainer.checkpoint_callbacks:
        for path in getattr(callback, "written", ()):
            return f"the last checkpoint from before is {path}"
    return "there is no checkpoint from before"


def check_resumable(checkpoint: dict[str, Any]) -> None:
    """Raise a UserError for a checkpoint without what training needs to go on."""
    if KEY not in checkpoint or "optimizer_states" not in checkpoint:
        raise UserError(
            "Training can't go on from this checkpoint, which holds weights and no more: take the "
            "last.ckpt of a run."
        )


def check_finite(trainer: L.Trainer, tensors: list[Tensor]) -> None:
    """Raise a UserError for weights or states that are no numbers any more: nothing is saved."""
    if all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        return
    raise UserError(
        f"The weights aren't finite any more after step {trainer.global_step}, and are not saved: "
        "lower learning_rate, or clip harder with trainer.gradient_clip_val; "
        f"{last_written(trainer)}."
    )


def check_loss(loss: Tensor, grad_norm: Tensor | None, trainer: L.Trainer) -> None:
    """Raise a UserError for a loss that is no number any more.

    Args:
        grad_norm: of the step before; none at the first.
    """
    if math.isfinite(loss.item()):
        return
    norm = "none yet" if grad_norm is None else f"{grad_norm.item():.3g}"
    raise UserError(
        f"The loss is {loss.item()} in epoch {trainer.current_epoch}, step {trainer.global_step} "
        f"(learning rate {trainer.optimizers[0].param_groups[0]['lr']:g}, norm of the last gradient "
        f"{norm}): lower learning_rate, or clip harder with trainer.gradient_clip_val; "
        f"{last_written(trainer)}."
    )


def check_same_everywhere(trainer: L.Trainer) -> None:
    """Raise a UserError unless all processes have resumed from the same step."""
    steps = gathered(trainer.global_step)
    if len(set(steps)) > 1:
        raise UserError(
            f"The processes resumed from different checkpoints (steps {steps}): name the file "
            "with --ckpt_path instead of `last`."
        )


def gathered(own: Any) -> list[Any]:
    """What each process has to say, in the order of the processes."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [own]
    everyone: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyone, own)
    return everyone


def nats_so_far(module: L.LightningModule) -> dict[str, Tensor]:
    """This process's sums of the epoch's training loss."""
    metric = cast(Any, module.train_nats)
    return {name: getattr(metric, name).cpu().clone() for name in ("nats", "characters")}


def carried_state(module: L.LightningModule) -> tuple[tuple[Tensor, ...], ...] | None:
    """The state of this process's lanes, [B, H] each."""
    state = cast(Any, module.carried_state)
    return state and tuple(tuple(part.cpu() for part in cell_state) for cell_state in state)


def carried_ids(module: L.LightningModule) -> Tensor | None:
    """The characters since that state, [B, S], where ``backprop_steps`` has them run again."""
    ids = cast(Any, module.carried_ids)
    return None if ids is None else ids.cpu()


def with_ids_apart(own: dict[str, Any]) -> dict[str, Any]:
    """A process's entry, also of a version up to 0.1, whose state had the ids for a last layer."""
    if "carried_ids" in own:
        return own
    *layers, last = own["carried"] or [()]
    if last and not last[0].is_floating_point():
        return own | {"carried": tuple(layers), "carried_ids": last[0]}
    return own | {"carried_ids": None}


def restored_state(
    parts: list[Any], device: torch.device, rank: int, num_processes: int
) -> tuple[tuple[Tensor, ...], ...] | None:
    """This process's lanes of the state that other processes, or more or fewer, have saved."""
    if any(part is None for part in parts):
        return None
    return tuple(
        tuple(own_lanes(same, device, rank, num_processes) for same in zip(*layers, strict=True))
        for layers in zip(*parts, strict=True)
    )


def restored_ids(
    parts: list[Tensor | None], device: torch.device, rank: int, num_processes: int
) -> Tensor | None:
    """The same of ``carried_ids``."""
    found = [part for part in parts if part is not None]
    return own_lanes(found, device, rank, num_processes) if found else None


def own_lanes(
    tensors: Sequence[Tensor], device: torch.device, rank: int, num_processes: int
) -> Tensor:
    """This process's rows of what all processes have, one after another."""
    lanes = torch.cat(list(tensors))
    return lanes[share(len(lanes), rank, num_processes)].to(device)


def random_state(device: torch.device) -> dict[str, Any]:
    """Python's, NumPy's and torch's generators, in plain types."""
    numpy_state = np.random.get_state(legacy=False)
    key = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
    return {
        "python": random.getstate(),
        "numpy": {**numpy_state, "state": {**numpy_state["state"], "key": key}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "mps": torch.mps.get_rng_state() if device.type == "mps" else None,
    }


def restore_random(state: dict[str, Any], device: torch.device) -> None:
    """The inverse of ``random_state``; a GPU's generator is left out where there is none."""
    random.setstate(state["python"])
    numpy_state = state["numpy"]
    key = numpy_state["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**numpy_state, "state": {**numpy_state["state"], "key": key}})
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    if state.get("mps") is not None and device.type == "mps":
        torch.mps.set_rng_state(state["mps"])
