"""The type that a recurrence is computed in."""

import torch
from torch import Tensor


def in_one_type(first: Tensor, *others: Tensor) -> list[Tensor]:
    """All tensors in autocast's type, or without autocast in that of the first.

    Autocast by itself would leave an operation that isn't a matrix product in the wider of its
    operands' types: in float32 all along, if the state before the first step was.
    """
    device = first.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else first.dtype
    return [tensor.to(dtype) for tensor in (first, *others)]
