"""The book's training and prediction loops from scratch: the baseline of the benchmark.

The algorithm of d2l.ai's chapters "RNN from scratch", GRU and LSTM, step for step: one-hot inputs,
one product a gate and step, outputs step by step, clipping and descent parameter by parameter.

    T time steps · B lanes · V vocabulary · H hidden size
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F


class BookModel:
    """One recurrent layer and the output layer, their parameters plain tensors.

    Args:
        cell: ``rnn``, ``gru`` (the book's: reset before the product) or ``lstm``.
        vocab_size: V.
        hidden_size: H.
    """

    GATES: ClassVar = {"rnn": ("h",), "gru": ("z", "r", "h"), "lstm": ("i", "f", "o", "c")}

    def __init__(self, cell: str, vocab_size: int, hidden_size: int, device: str = "cpu") -> None:
        self.cell, self.V, self.H, self.device = cell, vocab_size, hidden_size, device

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, device=device) * 0.01

        self.gates = [
            [normal(self.V, self.H), normal(self.H, self.H), torch.zeros(self.H, device=device)]
            for _ in self.GATES[cell]
        ]
        self.W_hq, self.b_q = normal(self.H, self.V), torch.zeros(self.V, device=device)
        self.params = [p for gate in self.gates for p in gate] + [self.W_hq, self.b_q]
        for param in self.params:
            param.requires_grad_(True)

    def begin_state(self, num_lanes: int) -> tuple[Tensor, ...]:
        zeros = torch.zeros((num_lanes, self.H), device=self.device)
        return (zeros, zeros) if self.cell == "lstm" else (zeros,)

    def __call__(
        self, ids_BT: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits [T·B, V] and the state after."""
        forward = getattr(self, f"_{self.cell}")
        inputs = F.one_hot(ids_BT.T, self.V).type(torch.float32)
        outputs = []
        for X in inputs:
            state = forward(X, *state)
            outputs.append(torch.mm(state[0], self.W_hq) + self.b_q)
        return torch.cat(outputs, dim=0), state

    def _rnn(self, X: Tensor, H: Tensor) -> tuple[Tensor, ...]:
        ((W_xh, W_hh, b_h),) = self.gates
        return (torch.tanh(torch.mm(X, W_xh) + torch.mm(H, W_hh) + b_h),)

    def _gru(self, X: Tensor, H: Tensor) -> tuple[Tensor, ...]:
        (W_xz, W_hz, b_z), (W_xr, W_hr, b_r), (W_xh, W_hh, b_h) = self.gates
        Z = torch.sigmoid((X @ W_xz) + (H @ W_hz) + b_z)
        R = torch.sigmoid((X @ W_xr) + (H @ W_hr) + b_r)
        H_tilda = torch.tanh((X @ W_xh) + ((R * H) @ W_hh) + b_h)
        return (Z * H + (1 - Z) * H_tilda,)

    def _lstm(self, X: Tensor, H: Tensor, C: Tensor) -> tuple[Tensor, ...]:
        (W_xi, W_hi, b_i), (W_xf, W_hf, b_f), (W_xo, W_ho, b_o), (W_xc, W_hc, b_c) = self.gates
        I = torch.sigmoid((X @ W_xi) + (H @ W_hi) + b_i)  # noqa: E741
        F_ = torch.sigmoid((X @ W_xf) + (H @ W_hf) + b_f)
        O = torch.sigmoid((X @ W_xo) + (H @ W_ho) + b_o)  # noqa: E741
        C_tilda = torch.tanh((X @ W_xc) + (H @ W_hc) + b_c)
        C = F_ * C + I * C_tilda
        return O * torch.tanh(C), C


def clip_gradients(params: Sequence[Tensor], theta: float) -> None:
    """Scale all gradients down to the norm ``theta``, where theirs is above it."""
    norm = torch.sqrt(sum(torch.sum(p.grad**2) for p in params if p.grad is not None))  # type: ignore[arg-type]
    if norm > theta:
        for param in params:
            assert param.grad is not None
            param.grad[:] *= theta / norm


def descend(params: Sequence[Tensor], lr: float) -> None:
    """One step of gradient descent; the gradients are zeroed after it."""
    with torch.no_grad():
        for param in params:
            assert param.grad is not None
            param -= lr * param.grad
            param.grad.zero_()


def train_step(
    net: BookModel, X: Tensor, Y: Tensor, state: tuple[Tensor, ...]
) -> tuple[tuple[Tensor, ...], float]:
    """One iteration of the book's epoch: X and Y are [B, T]; its loss in nats per character."""
    state = tuple(part.detach() for part in state)
    y_hat, state = net(X, state)
    loss = F.cross_entropy(y_hat, Y.T.reshape(-1))
    loss.backward()
    clip_gradients(net.params, 1)
    descend(net.params, 1.0)
    return state, loss.item()


@torch.inference_mode()
def predict(prefix: Sequence[int], num_preds: int, net: BookModel) -> list[int]:
    """Warm up on the prefix, then take the likeliest symbol ``num_preds`` times."""
    state = net.begin_state(1)
    symbols = list(prefix)
    for place in range(len(prefix) + num_preds - 1):
        last = torch.tensor([symbols[place]], device=net.device).reshape((1, 1))
        logits, state = net(last, state)
        if place + 1 == len(symbols):
            symbols.append(int(logits.argmax(dim=1).reshape(1)))
    return symbols
