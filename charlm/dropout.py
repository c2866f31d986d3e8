"""Dropout as recurrent networks need it: one mask a window, whole characters, or whole states.

T time steps · B lanes · D features · V vocabulary
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.cells import State
from charlm.errors import UserError


def check_probability(name: str, value: float) -> None:
    """Raise a UserError for what is no probability below 1."""
    if not 0 <= value < 1:
        raise UserError(f"{name} is {value}: it is a probability, at least 0 and below 1.")


class LockedDropout(nn.Module):
    """Drop the same features of a lane at all steps of a window (Gal & Ghahramani 2016).

    A mask drawn at each step would be averaged out over the steps, and would break what the state
    remembers. What is left is scaled by 1 / (1 - p); in evaluation nothing happens.

    Args:
        name: the option's, for the error message.
        p: the probability.

    Raises:
        UserError: ``p`` is no probability below 1.
    """

    def __init__(self, name: str, p: float) -> None:
        super().__init__()
        check_probability(name, p)
        self.p = p

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def forward(self, features_TBD: Tensor) -> Tensor:
        """The features [T, B, D] with a mask [1, B, D]."""
        if not self.training or self.p == 0:
            return features_TBD
        mask_1BD = torch.empty_like(features_TBD[:1]).bernoulli_(1 - self.p).div_(1 - self.p)
        return features_TBD * mask_1BD


class CharacterDropout(nn.Module):
    """Hide whole characters from the network: it reads a zero vector in their place.

    A one-hot vector has only one entry that could be dropped; so the mask has one value a
    character, [T, B, 1], and an embedding's vectors are treated alike. What is left isn't scaled.

    Args:
        name: the option's, for the error message.
        p: the probability.
        num_symbols: V.

    Raises:
        UserError: ``p`` is no probability below 1.
    """

    def __init__(self, name: str, p: float, num_symbols: int) -> None:
        super().__init__()
        check_probability(name, p)
        self.p = p
        self.num_symbols = num_symbols

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def forward(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """Ids [T, B] or vectors [T, B, D]; where characters are hidden, vectors of ``dtype``."""
        if not self.training or self.p == 0:
            return inputs
        if inputs.dtype == torch.long:
            inputs = F.one_hot(inputs, self.num_symbols).to(dtype)
        return inputs * torch.empty_like(inputs[..., :1]).bernoulli_(1 - self.p)


def partly_fresh(state: tuple[State, ...], probability: float) -> tuple[State, ...]:
    """The state with the lanes' own zeroed, each with a probability (Melis et al. 2017)."""
    first = state[0][0]
    keep_B1 = torch.rand(len(first), 1, device=first.device) >= probability
    return tuple(tuple(part * keep_B1 for part in cell_state) for cell_state in state)
