"""The types that a recurrence, and sums of what comes of it, are computed in."""

import torch
from torch import Tensor

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


def in_one_type(first: Tensor, *others: Tensor) -> list[Tensor]:
    """All tensors in autocast's type, or without autocast in that of the first.

    Autocast by itself would leave an operation that isn't a matrix product in the wider of its
    operands' types: in float32 all along, if the state before the first step was.
    """
    device = first.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else first.dtype
    return [tensor.to(dtype) for tensor in (first, *others)]
