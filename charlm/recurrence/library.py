"""The kernels that ``torch.nn`` runs, oneDNN's and cuDNN's, with the cell's own parameters.

T time steps · B lanes · I input size · H hidden size · G gates × H
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.cells import GRU, LSTM, RNN, Cell, State
from charlm.cells.torch_nn import second_bias
from charlm.recurrence.precision import in_one_type

Kernel = Callable[..., Any]
# oneDNN's number for the LSTM.
LSTM_MODE = 2
# Exactly these classes: the kernel of a cell, or none where no library has its form.
KERNELS: dict[type[Cell], Callable[[Any], Kernel | None]] = {
    RNN: lambda cell: torch.rnn_tanh if cell.nonlinearity == "tanh" else torch.rnn_relu,
    GRU: lambda cell: torch.gru if cell.reset_after else None,
    LSTM: lambda cell: torch.lstm,
}


def serves(cell: Cell) -> bool:
    """Whether ``torch.nn`` has the cell."""
    return _kernel(cell) is not None


def _kernel(cell: Cell) -> Kernel | None:
    return KERNELS.get(type(cell), lambda cell: None)(cell)


def keeps_memory(cell: Cell, device: torch.device) -> bool:
    """Whether the kernel has the cell's memory in float32 also under autocast (``precision``).

    oneDNN's of the LSTM has, if it is called by itself: ``torch.lstm`` wants one type of all.
    """
    return (
        type(cell) is LSTM
        and device.type == "cpu"
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported")
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def unroll(cell: Cell, inputs: Tensor, state: State) -> tuple[Tensor, State]:
    """What ``eager`` gives, for a cell that this backend serves.

    Args and returns: see ``charlm.recurrence.eager``. Symbol ids are made one-hot vectors, as
    these kernels take nothing else. On a GPU cuDNN computes float32 in TF32 unless
    ``torch.backends.cudnn.allow_tf32`` is False.
    """
    kernel = _kernel(cell)
    assert kernel is not None
    if inputs.dtype == torch.long:
        inputs = F.one_hot(inputs, cell.input_size).to(cell.weight_ih.dtype)
    own = (cell.weight_ih, cell.weight_hh, cell.bias, second_bias(cell))
    if torch.is_autocast_enabled(inputs.device.type) and keeps_memory(cell, inputs.device):
        x_TBI, *parameters = in_one_type(inputs, *own)
        return _lstm_in_bfloat16(x_TBI, parameters, *state)
    x_TBI, *tensors = in_one_type(inputs, *own, *(part.unsqueeze(0) for part in state))
    parameters, first_state = tensors[:4], tensors[4:]
    outputs_TBH, *final = kernel(
        x_TBI,
        first_state if len(first_state) > 1 else first_state[0],
        _one_chunk(parameters) if x_TBI.is_cuda else parameters,
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=torch.is_grad_enabled(),
        bidirectional=False,
        batch_first=False,
    )
    return outputs_TBH, tuple(part.squeeze(0) for part in final)


def _lstm_in_bfloat16(
    x_TBI: Tensor, parameters: list[Tensor], hidden_BH: Tensor, memory_BH: Tensor
) -> tuple[Tensor, State]:
    # Autocast would make the memory bfloat16, too.
    with torch.autocast("cpu", enabled=False):
        # Whatever their strides are, it reads values one after the other.
        outputs_TBH, hidden_BH, memory_BH, _ = torch.ops.aten.mkldnn_rnn_layer(
            x_TBI.contiguous(),
            *(parameter.contiguous() for parameter in parameters),
            hidden_BH.to(x_TBI.dtype).contiguous(),
            memory_BH.float().contiguous(),
            reverse=False,
            batch_sizes=[],
            mode=LSTM_MODE,
            hidden_size=hidden_BH.shape[1],
            num_layers=1,
            has_biases=True,
            bidirectional=False,
            batch_first=False,
            train=torch.is_grad_enabled(),
        )
    return outputs_TBH, (hidden_BH, memory_BH)


def _one_chunk(parameters: list[Tensor]) -> list[Tensor]:
    """The same values, one after the other in memory: cuDNN's layout.

    Of scattered ones torch makes this very copy itself, at every call and with a warning.
    """
    chunk = torch.cat([parameter.flatten() for parameter in parameters])
    pieces = chunk.split([parameter.numel() for parameter in parameters])
    return [piece.view_as(p) for piece, p in zip(pieces, parameters, strict=True)]
