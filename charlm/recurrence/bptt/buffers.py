"""The buffers that the derivations of ``bptt`` write in place, and their slices.

T time steps · B lanes · H hidden size · G gates × H
"""

import torch
from torch import Tensor


def states(initial_BH: Tensor, num_steps: int, begins_TB1: Tensor | None) -> tuple[Tensor, Tensor]:
    """Room for the states before the steps and after them, [T, B, H] each, the first in its place.

    The state before a step is that after the step before, so that both lie in one buffer; where
    documents begin, it is zero in some lanes, and they lie in two (see ``cut``).
    """
    if begins_TB1 is None:
        buffer = initial_BH.new_empty(num_steps + 1, *initial_BH.shape)
        buffer[0] = initial_BH
        return buffer[:-1], buffer[1:]
    before_TBH, after_TBH = initial_BH.new_empty(2, num_steps, *initial_BH.shape)
    cut(begins_TB1[0], initial_BH, out=before_TBH[0])
    return before_TBH, after_TBH


def cut(begins_B1: Tensor, tensor_BH: Tensor, out: Tensor) -> Tensor:
    """``out`` becomes the tensor, but zero in the lanes where a document begins."""
    return torch.where(begins_B1, tensor_BH.new_zeros(()), tensor_BH, out=out)


def gradients(d_outputs_TBH: Tensor, d_final_BH: Tensor) -> Tensor:
    """∂L/∂ the states 0 to T, [T + 1, B, H], as far as outputs and final state tell at first."""
    buffer = d_outputs_TBH.new_empty(len(d_outputs_TBH) + 1, *d_final_BH.shape)
    buffer[0] = 0
    buffer[1:] = d_outputs_TBH
    buffer[-1] += d_final_BH
    return buffer


def blocks(tensor_TBG: Tensor, num_gates: int) -> tuple[Tensor, ...]:
    """The gates' parts of a buffer, [T, B, H] each."""
    return tensor_TBG.chunk(num_gates, dim=2)


def steps(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Each tensor's slices along time, cut all at once: one by one they cost like small products."""
    return [tensor.unbind() for tensor in tensors]


def one_minus_square(tensor: Tensor) -> Tensor:
    """1 - y², the derivative of y = tanh."""
    return torch.addcmul(tensor.new_ones(()), tensor, tensor, value=-1)


def times_complement(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """left * (1 - right), with no tensor in between; ``out`` may be ``left`` itself."""
    return torch.addcmul(left, left, right, value=-1, out=out)
