"""The ways to unroll a cell over time, by name: each gives what ``eager`` gives.

A backend serves exactly the classes in its table, never a subclass, whose step may be another. One
that can't serve a cell says so by name, and never falls back in silence.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from charlm.cells import LSTM, Cell, State
from charlm.errors import UserError
from charlm.recurrence import bptt, documents, eager, library, scan

Unroll = Callable[[Cell, Tensor, State], tuple[Tensor, State]]


class Backend(NamedTuple):
    """A way to unroll: whether it serves a cell, and what it does (``charlm.recurrence.eager``).

    One that knows of documents itself has ``unroll_documents``; for the others the window is cut.
    """

    serves: Callable[[Cell], bool]
    unroll: Unroll
    unroll_documents: Callable[[Cell, Tensor, State, Tensor], tuple[Tensor, State]] | None = None


BACKENDS: dict[str, Backend] = {
    "eager": Backend(lambda cell: True, eager.unroll, eager.unroll),
    "bptt": Backend(bptt.serves, bptt.unroll, bptt.unroll),
    "library": Backend(library.serves, library.unroll),
    "scan": Backend(scan.serves, scan.unroll, scan.unroll),
}
# The order in which ``auto`` asks who serves a cell.
#
# On a CPU by measurement of whole training steps (256 and 512 hidden units, 32 lanes of 35 steps,
# float32, two cores): torch has a fused kernel for the LSTM alone. What is said of GPUs is a guess
# that cuDNN is faster where it serves; it hasn't been measured. Where documents begin in a window, the
# kernel must stop at each beginning, so that the LSTM's derived backward pass is 2.5 times as fast.
# In bfloat16 oneDNN's kernel of the LSTM is twice as fast as the derived backward pass, but must keep
# the memory in float32 (``charlm.recurrence.precision``).
ORDER_ON_CPU = ("scan", "bptt", "library", "eager")
ORDER_ON_GPU = ("scan", "library", "bptt", "eager")
EXCEPTIONS_ON_CPU: dict[type[Cell], str] = {LSTM: "library"}


def check(backend: str) -> None:
    """Raise a UserError for a backend that doesn't exist."""
    if backend != "auto" and backend not in BACKENDS:
        raise UserError(f"Unknown backend {backend!r}: choose one of auto, {', '.join(BACKENDS)}.")


def fastest(cell: Cell, device: torch.device, with_documents: bool = False) -> str:
    """The backend that is fastest for a cell on a device, in a window where documents begin or not."""
    order = ORDER_ON_CPU
    if device.type == "mps":
        return "eager"  # of the others, no test has run there
    if device.type == "cuda":
        order = ORDER_ON_GPU
    elif (
        type(cell) in EXCEPTIONS_ON_CPU
        and not with_documents
        and (not torch.is_autocast_enabled(device.type) or library.keeps_memory(cell, device))
    ):
        return EXCEPTIONS_ON_CPU[type(cell)]
    return next(name for name in order if BACKENDS[name].serves(cell))


def unroll(
    cell: Cell, inputs: Tensor, state: State, backend: str = "auto", begins_TB: Tensor | None = None
) -> tuple[Tensor, State]:
    """``BACKENDS[backend]``, or for ``auto`` the fastest one.

    Args:
        cell, inputs, state, begins_TB: see ``charlm.recurrence.eager``.
        backend: a name.

    Returns:
        outputs [T, B, H] and the state after the last step.

    Raises:
        UserError: the backend doesn't serve the cell.
        ValueError: a state that isn't [B, H] each, which might otherwise be broadcast; beginnings
            that aren't bool [T, B].
    """
    shape = (inputs.shape[1], cell.hidden_size)
    if any(part.shape != shape for part in state) or len(state) != len(cell.state_names):
        raise ValueError(
            f"a state of shapes {[tuple(part.shape) for part in state]} doesn't fit "
            f"{type(cell).__name__}({cell.extra_repr()}) and {shape[0]} lanes"
        )
    name = fastest(cell, inputs.device, begins_TB is not None) if backend == "auto" else backend
    if not BACKENDS[name].serves(cell):
        able = [other for other, way in BACKENDS.items() if way.serves(cell)]
        raise UserError(
            f"The backend {name} can't run the cell {type(cell).__name__}({cell.extra_repr()}): "
            f"choose backend: auto or {' or '.join(able)}."
        )
    way = BACKENDS[name]
    if begins_TB is None:
        return way.unroll(cell, inputs, state)
    if begins_TB.shape != inputs.shape[:2] or begins_TB.dtype != torch.bool:
        raise ValueError(
            f"beginnings of shape {tuple(begins_TB.shape)} and type {begins_TB.dtype} don't fit "
            f"inputs of {inputs.shape[0]} steps and {inputs.shape[1]} lanes"
        )
    if way.unroll_documents is not None:
        return way.unroll_documents(cell, inputs, state, begins_TB)
    return documents.unroll(way.unroll, cell, inputs, state, begins_TB)
