"""Which options may change between a checkpoint and the run that goes on from it.

A change takes effect or is refused, in a sentence that names both values; none is ignored.
"""

import inspect
from typing import Any

import lightning as L

from charlm.cells.options import complete
from charlm.errors import UserError
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

# Of the model: the others are the architecture, the optimiser, or how a run begins.
FREE_MODEL_OPTIONS = (
    "learning_rate",
    "dropout",
    "input_dropout",
    "output_dropout",
    "weight_drop",
    "fresh_state",
    "dynamic_evaluation",
    "backend",
    # The text's own, which check_data looks at.
    "num_characters",
)
# Of the data: the others don't decide which characters form which batch. The text itself is known
# by its digest, wherever it is read from.
FIXED_DATA_OPTIONS = (
    "normalisation",
    "max_chars",
    "val_size",
    "test_size",
    "sampling",
    "num_lanes",
    "num_steps",
    "num_steps_jitter",
    "carry",
    "seed",
    "documents",
)
# What the versions that didn't have an option did.
WITHOUT = {"documents": None, "num_steps_jitter": 0}
# Another text is divided and cut in its own way.
OF_THE_TEXT = ("max_chars", "val_size", "test_size")


def check_model(module: L.LightningModule, before: dict[str, Any]) -> None:
    """Raise a UserError unless what was trained with the options ``before`` fits ``module``."""
    now = dict(module.hparams)
    # An option that the checkpoint's version didn't have had its default's effect.
    defaults = {
        name: parameter.default
        for signature in (CharLM, type(module))
        for name, parameter in inspect.signature(signature).parameters.items()
        if parameter.default is not parameter.empty
    }
    before, now = complete(defaults | before), complete(defaults | now)
    for name in now:
        if name not in (*FREE_MODEL_OPTIONS, "vocabulary") and not name.startswith("_"):
            check_same(f"model.{name}", before.get(name), now[name])
    old, new = (Vocabulary.from_config(options["vocabulary"]) for options in (before, now))
    if old != new:
        raise UserError(
            f"The checkpoint's vocabulary of {len(old)} symbols (normalisation "
            f"{old.normalisation}) isn't this text's, of {len(new)} ({new.normalisation}): its "
            "weights mean nothing for other symbols; give the text that it was trained on."
        )


def check_vocabulary(own: Vocabulary, data: Any) -> None:
    """Raise a UserError for data whose ids mean other characters than the model's ``own`` do.

    Args:
        data: a CharDataModule; none, or of another kind: it is left alone.
    """
    if getattr(data, "vocabulary", own.config) != own.config:
        raise UserError(
            "The model's vocabulary isn't that of the data: make it by CharLMModule(data.vocabulary), "
            "or give the data the model's own as base_vocabulary."
        )


def check_data(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise a UserError unless training that was begun with ``before`` can go on with ``now``."""
    if "corpus_digest" not in before:
        return  # trained without a CharDataModule
    is_changed = before["corpus_digest"] != now["corpus_digest"]
    for name in FIXED_DATA_OPTIONS:
        if is_changed and now["allow_changed_corpus"] and name in OF_THE_TEXT:
            continue
        option = "seed_everything" if name == "seed" else f"data.{name}"
        default = WITHOUT.get(name, now[name])
        check_same(option, before.get(name, default), now[name])
    if now["allow_changed_corpus"] or not is_changed:
        return
    if before["corpus_used"] != now["corpus_used"]:
        what = f"was trained on {before['corpus_used']}, and this run reads {now['corpus_used']}"
    else:
        what = f"was written before {now['corpus_used']} changed (its SHA-256 is another)"
    raise UserError(
        f"The checkpoint {what}: give the text as it was, or go on with the other one with "
        "--data.allow_changed_corpus true."
    )


def check_same(option: str, before: Any, now: Any) -> None:
    """Raise a UserError for an option that has changed."""
    before, now = (list(value) if isinstance(value, tuple) else value for value in (before, now))
    if before != now:
        raise UserError(
            f"The checkpoint was trained with {option} {before}, and this run is to have {now}: "
            "leave that option as it was, or start a new run without --ckpt_path."
        )


def change_learning_rate(trainer: L.Trainer, before: float, now: float) -> None:
    """Let a learning rate other than the checkpoint's take effect, in the place of its own.

    Under a scheduler the rate of every later step is multiplied by ``now / before``, as if the
    schedule had begun with it. One that was told its rates itself (``max_lr``, ``base_lr``) keeps
    them, as in a new run.

    Raises:
        UserError: the rate was zero and is scheduled.
    """
    if before == now:
        return
    schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
    if not schedulers:
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                # A group that has a rate of its own keeps it in proportion.
                group["lr"] = now if group["lr"] == before else group["lr"] * now / before
        return
    if before == 0:
        raise UserError("A scheduled learning_rate of 0 can't be changed: start a new run.")
    factor = now / before
    if any("max_lr" in group or "base_lr" in group for group in trainer.optimizers[0].param_groups):
        return
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            for name in ("lr", "initial_lr"):
                if name in group:
                    group[name] *= factor
    for scheduler in schedulers:
        for name in ("base_lrs", "_last_lr"):
            if hasattr(scheduler, name):
                setattr(scheduler, name, [rate * factor for rate in getattr(scheduler, name)])
