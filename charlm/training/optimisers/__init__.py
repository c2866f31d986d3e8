"""The optimisers: by name for a character model, or any class of ``torch.optim`` by its path."""

from collections.abc import Callable
from typing import Any

from torch.optim import AdamW, Optimizer

from charlm.errors import UserError
from charlm.model import CharLM
from charlm.training.class_paths import build
from charlm.training.optimisers.groups import decayed, gate_groups
from charlm.training.optimisers.muon import Muon
from charlm.training.optimisers.soap import Soap


def adamw(model: CharLM, lr: float, weight_decay: float = 0.0, **options: Any) -> Optimizer:
    """AdamW, in which the matrices alone decay.

    Args:
        model: whose parameters it changes.
        lr: the learning rate.
        weight_decay: of the matrices.
        **options: of ``torch.optim.AdamW``; ``betas`` are (0.9, 0.99) unless given.
    """
    return AdamW(decayed(model, weight_decay), lr, **{"betas": (0.9, 0.99)} | options)


def muon(
    model: CharLM,
    lr: float,
    weight_decay: float = 0.0,
    matrix_rate: float | None = None,
    **options: Any,
) -> Optimizer:
    """``Muon`` with its groups; ``matrix_rate`` is the gate matrices' rate (none: ``lr``)."""
    return Muon(gate_groups(model, weight_decay, matrix_rate or lr), lr, **options)


def soap(
    model: CharLM,
    lr: float,
    weight_decay: float = 0.0,
    matrix_rate: float | None = None,
    **options: Any,
) -> Optimizer:
    """``Soap`` with its groups; ``matrix_rate`` is the gate matrices' rate (none: ``lr``)."""
    return Soap(gate_groups(model, weight_decay, matrix_rate or lr), lr, **options)


BY_NAME: dict[str, Callable[..., Optimizer]] = {"adamw": adamw, "muon": muon, "soap": soap}


def optimiser(name: str, model: CharLM, lr: float, options: dict[str, Any]) -> Optimizer:
    """The optimiser of a model.

    Args:
        name: one of ``BY_NAME``, or the path of a class that takes parameters.
        model: whose parameters it changes.
        lr: the learning rate.
        options: its other arguments, in plain types.

    Raises:
        UserError: there is none of that name, or it doesn't take the options; they have an ``lr``.
    """
    if "lr" in options:
        raise UserError(
            "model.optimizer_options has an lr: give the learning rate as model.learning_rate."
        )
    if name in BY_NAME:
        return build("optimizer", name, BY_NAME[name], model, lr=lr, **options)
    return build("optimizer", name, None, model.parameters(), lr=lr, **options)


__all__ = ["BY_NAME", "Muon", "Soap", "adamw", "muon", "optimiser", "soap"]
