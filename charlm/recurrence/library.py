"""The kernels that ``torch.nn`` runs, oneDNN's and cuDNN's, with the cell's own parameters.

T time steps · B lanes · I input size · H hidden size · G gates × H
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.cells import GRU, LSTM, RNN, Cell, State
from charlm.errors import UserError
from charlm.recurrence.precision import in_one_type


def unroll(cell: Cell, inputs: Tensor, state: State) -> tuple[Tensor, State]:
    """What ``eager`` gives.

    Args and returns: see ``charlm.recurrence.eager``. Symbol ids are made one-hot vectors, as
    these kernels take nothing else. On a GPU cuDNN computes float32 in TF32 unless
    ``torch.backends.cudnn.allow_tf32`` is False.

    Raises:
        UserError: a cell that no library has: a GRU with ``reset_after=False``, one of one's own.
    """
    kernel = _kernel(cell)
    if inputs.dtype == torch.long:
        inputs = F.one_hot(inputs, cell.input_size).to(cell.weight_ih.dtype)
    # torch.nn adds two biases. Ours is the first; of the second only the GRU needs a part.
    bias_hh = torch.zeros_like(cell.bias)
    if isinstance(cell, GRU) and cell.bias_hn is not None:
        bias_hh = torch.cat([bias_hh[: 2 * cell.hidden_size], cell.bias_hn])
    own = (cell.weight_ih, cell.weight_hh, cell.bias, bias_hh)
    x_TBI, *tensors = in_one_type(inputs, *own, *(part.unsqueeze(0) for part in state))
    parameters, first_state = tensors[:4], tensors[4:]
    outputs_TBH, *final = kernel(
        x_TBI,
        first_state if isinstance(cell, LSTM) else first_state[0],
        _one_chunk(parameters) if x_TBI.is_cuda else parameters,
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=torch.is_grad_enabled(),
        bidirectional=False,
        batch_first=False,
    )
    return outputs_TBH, tuple(part.squeeze(0) for part in final)


def _kernel(cell: Cell) -> Callable[..., Any]:
    if isinstance(cell, RNN):
        return torch.rnn_tanh if cell.nonlinearity == "tanh" else torch.rnn_relu
    if isinstance(cell, LSTM):
        return torch.lstm
    if isinstance(cell, GRU) and cell.reset_after:
        return torch.gru
    name = "GRU with reset_after: false" if isinstance(cell, GRU) else type(cell).__name__
    raise UserError(
        f"The backend library can't run the cell {name}, which no library has: choose another "
        "backend (auto, bptt or eager)."
    )


def _one_chunk(parameters: list[Tensor]) -> list[Tensor]:
    """The same values, one after the other in memory: cuDNN's layout.

    Of scattered ones torch makes this very copy itself, at every call and with a warning.
    """
    chunk = torch.cat([parameter.flatten() for parameter in parameters])
    pieces = chunk.split([parameter.numel() for parameter in parameters])
    return [piece.view_as(p) for piece, p in zip(pieces, parameters, strict=True)]
