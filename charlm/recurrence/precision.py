"""The types that a recurrence, and sums of what comes of it, are computed in.

Under autocast (``trainer.precision: bf16-mixed``) bfloat16, whose numbers have 8 bits of mantissa, is
for what the time goes into: matrix products, and what they read and write. In float32 stay

- a cell's memory, whatever no weight multiplies: c + i * g = c if i * g is below c / 512, so that
  what is gathered in small steps would be lost. Of a cell without W_hh that is the whole state. The
  GRU's hidden state is memory and multiplied, and is rounded, as by every library;
- the weights themselves, their gradients and the optimiser's state, since a step changes a weight by
  less than its last bit in bfloat16; and the loss, a logarithm of a sum over the vocabulary.
"""

import torch
from torch import Tensor

from charlm.cells import Cell, State

# Apple's GPUs have no numbers of 64 bits.
WITHOUT_FLOAT64: tuple[str, ...] = ("mps",)


def widest_type(device: torch.device) -> torch.dtype:
    """The type in which a long sum loses least on a device."""
    return torch.float32 if device.type in WITHOUT_FLOAT64 else torch.float64


def in_float64(tensor: Tensor) -> Tensor:
    """The tensor in float64: on the CPU where its device has no such numbers."""
    if tensor.device.type in WITHOUT_FLOAT64:
        tensor = tensor.cpu()
    return tensor.double()


def mixed(cell: Cell, x_TBG: Tensor, state: State) -> tuple[Tensor, State]:
    """What a cell makes of its input, and the state before, in the types to compute with.

    Without autocast all are in the type of x. Under it x and the hidden state, the state's first part,
    are in autocast's, the rest in float32; of a cell without ``weight_hh`` all are in float32.
    """
    device = x_TBG.device.type
    half = memory = x_TBG.dtype
    if torch.is_autocast_enabled(device):
        half, memory = torch.get_autocast_dtype(device), torch.float32
    if not cell.has_weight_hh:
        half = memory
    hidden, *others = state
    return x_TBG.to(half), (hidden.to(half), *(part.to(memory) for part in others))


def in_one_type(first: Tensor, *others: Tensor) -> list[Tensor]:
    """All tensors in autocast's type, or without autocast in that of the first.

    For kernels that take one type alone: with the memory, too, in bfloat16.
    """
    device = first.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else first.dtype
    return [tensor.to(dtype) for tensor in (first, *others)]
