"""The ways to unroll a cell over time, by name: each gives what ``eager`` gives.

Every backend is a function ``unroll(cell, inputs, state) -> (outputs, state)``; see
``charlm.recurrence.eager``. One that can't serve a cell says so by name, and never falls back in
silence.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from charlm.cells import GRU, LSTM, RNN, Cell, State
from charlm.errors import UserError
from charlm.recurrence import bptt, eager, library

Unroll = Callable[[Cell, Tensor, State], tuple[Tensor, State]]

BACKENDS: dict[str, Unroll] = {
    "eager": eager.unroll,
    "bptt": bptt.unroll,
    "library": library.unroll,
}


def check(backend: str) -> None:
    """Raise a UserError for a backend that doesn't exist."""
    if backend != "auto" and backend not in BACKENDS:
        raise UserError(f"Unknown backend {backend!r}: choose one of auto, {', '.join(BACKENDS)}.")


def fastest(cell: Cell, device: torch.device) -> str:
    """The backend that is fastest for a cell on a device.

    On a CPU by measurement of whole training steps (256 and 512 hidden units, 32 lanes of 35
    steps, float32, two cores): torch has a fused kernel for the LSTM alone. What is said of GPUs
    is a guess that cuDNN is faster where it serves; it hasn't been measured.
    """
    if not isinstance(cell, RNN | GRU | LSTM):
        return "eager"
    if device.type == "cuda":
        return "bptt" if isinstance(cell, GRU) and not cell.reset_after else "library"
    return "library" if isinstance(cell, LSTM) else "bptt"


def unroll(cell: Cell, inputs: Tensor, state: State, backend: str) -> tuple[Tensor, State]:
    """``BACKENDS[backend]``, or for ``auto`` the fastest one.

    Raises:
        ValueError: a state that isn't [B, H] each, which might otherwise be broadcast.
    """
    shape = (inputs.shape[1], cell.hidden_size)
    if any(part.shape != shape for part in state) or len(state) != len(cell.state_names):
        raise ValueError(
            f"a state of shapes {[tuple(part.shape) for part in state]} doesn't fit "
            f"{type(cell).__name__}({cell.extra_repr()}) and {shape[0]} lanes"
        )
    name = fastest(cell, inputs.device) if backend == "auto" else backend
    return BACKENDS[name](cell, inputs, state)
