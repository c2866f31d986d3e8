"""The ways to unroll a cell over time, by name: each gives what ``eager`` gives.

Every backend is a function ``unroll(cell, inputs, state) -> (outputs, state)``; see
``charlm.recurrence.eager``. One that can't serve a cell says so by name, and never falls back in
silence.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from charlm.cells import Cell, State
from charlm.errors import UserError
from charlm.recurrence import bptt, eager

Unroll = Callable[[Cell, Tensor, State], tuple[Tensor, State]]

BACKENDS: dict[str, Unroll] = {"eager": eager.unroll, "bptt": bptt.unroll}


def check(backend: str) -> None:
    """Raise a UserError for a backend that doesn't exist."""
    if backend != "auto" and backend not in BACKENDS:
        raise UserError(f"Unknown backend {backend!r}: choose one of auto, {', '.join(BACKENDS)}.")


def fastest(cell: Cell, device: torch.device) -> str:
    """The backend that the benchmark showed to be fastest for a cell on a device."""
    return "eager"


def unroll(cell: Cell, inputs: Tensor, state: State, backend: str) -> tuple[Tensor, State]:
    """``BACKENDS[backend]``, or for ``auto`` the fastest one."""
    name = fastest(cell, inputs.device) if backend == "auto" else backend
    return BACKENDS[name](cell, inputs, state)
