"""Weights to and from ``torch.nn``'s recurrent modules.

``torch.nn`` keeps two biases a layer which are only ever added, except for the n of its GRU, where
the second stands inside r * (W_hn h + b_hn). On the way in the two are added up, and b_hn is kept.
On the way out the second bias is zero, or b_hn. The functions are the same; trained further they
part, since there SGD moves both biases, and so their sum twice as far.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from charlm.cells import GRU, LSTM, RNN, Cell
from charlm.errors import UserError

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
# Exactly the classes that ``torch.nn`` has.
_EXCHANGEABLE = (RNN, GRU, LSTM)


def second_bias(cell: Cell) -> Tensor:
    """``bias_hh`` [G·H] beside our ``bias``, its ``bias_ih``: zeros, but for the GRU's b_hn."""
    zeros = torch.zeros_like(cell.bias)
    bias_hn = getattr(cell, "bias_hn", None)
    return zeros if bias_hn is None else torch.cat([zeros[: -len(bias_hn)], bias_hn])


def to_torch(cells: Sequence[Cell]) -> dict[str, Tensor]:
    """The state dict of a ``torch.nn.RNN``, ``GRU`` or ``LSTM``, copied from the cells.

    Args:
        cells: layers of one kind and hidden size, from the first up. An RNN's nonlinearity isn't
            part of a state dict: give it to ``torch.nn.RNN``.

    Raises:
        UserError: no such layers, or a GRU with ``reset_after=False``, which ``torch.nn`` lacks.
    """
    _check(cells)
    state_dict: dict[str, Tensor] = {}
    for layer, cell in enumerate(cells):
        tensors = (cell.weight_ih, cell.weight_hh, cell.bias, second_bias(cell))
        for name, tensor in zip(_NAMES, tensors, strict=True):
            state_dict[f"{name}_l{layer}"] = tensor.detach().clone()
    return state_dict


@torch.no_grad()
def from_torch(cells: Sequence[Cell], state_dict: Mapping[str, Tensor]) -> None:
    """Copy the state dict of a ``torch.nn.RNN``, ``GRU`` or ``LSTM`` into the cells.

    Args:
        cells: layers of the module's kind and sizes, from the first up.
        state_dict: of a module with or without biases, in one direction, without projection.

    Raises:
        UserError: as ``to_torch``; a state dict that isn't of such layers. No cell is changed then.
    """
    _check(cells)
    expected = to_torch(cells)
    if not any(name.startswith("bias") for name in state_dict):
        zeros = {name: torch.zeros_like(t) for name, t in expected.items() if "bias" in name}
        state_dict = {**state_dict, **zeros}
    if odd := sorted(expected.keys() ^ state_dict.keys()):
        raise UserError(
            f"The state dict and the {len(cells)} layers of {type(cells[0]).__name__} differ in "
            f"{', '.join(odd)}: only modules of as many layers, in one direction and without "
            "projection, can be exchanged."
        )
    for name, tensor in expected.items():
        if state_dict[name].shape != tensor.shape:
            raise UserError(
                f"{name} of the state dict is {list(state_dict[name].shape)} and must be "
                f"{list(tensor.shape)}: build the cells with the module's kind and sizes."
            )
    for layer, cell in enumerate(cells):
        weight_ih, weight_hh, bias_ih, bias_hh = (state_dict[f"{name}_l{layer}"] for name in _NAMES)
        cell.weight_ih.copy_(weight_ih)
        cell.weight_hh.copy_(weight_hh)
        bias_hn = getattr(cell, "bias_hn", None)
        if bias_hn is not None:
            both, hn = bias_hh.split([2 * cell.hidden_size, cell.hidden_size])
            bias_hn.copy_(hn)
            bias_hh = torch.cat([both, torch.zeros_like(hn)])
        cell.bias.copy_(bias_ih + bias_hh)


def _check(cells: Sequence[Cell]) -> None:
    if len({(type(cell), cell.hidden_size) for cell in cells}) != 1:
        raise UserError(
            f"torch.nn has layers of one kind and hidden size only, and at least one, not "
            f"{', '.join(f'{type(cell).__name__} {cell.hidden_size}' for cell in cells) or 'none'}."
        )
    if type(cells[0]) not in _EXCHANGEABLE:
        raise UserError(
            f"torch.nn has no {type(cells[0]).__name__}: only RNN, GRU and LSTM can be exchanged."
        )
    if not getattr(cells[0], "reset_after", True):
        raise UserError(
            "torch.nn has no GRU with reset_after: false: only one with reset_after: true can be "
            "exchanged."
        )
