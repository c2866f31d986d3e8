"""The recipes that are trained here, each step by step against the clock.

    T time steps · B lanes

A recipe's schedule is laid over the seconds it is given: where its author lets the rate fall over
5,000 iterations, it falls over the share of the time that has gone.
"""

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from scripts.leaderboard.recurrent import State, TorchLSTM
from scripts.leaderboard.transformer import Size, Transformer


class Contender(ABC):
    """A model in training on the ids of a text.

    Args:
        ids: the training text, [N].
        vocab_size: V.
    """

    model: Transformer | TorchLSTM
    optimizer: torch.optim.Optimizer

    def __init__(self, ids: np.ndarray, vocab_size: int) -> None:
        self.ids_N = torch.from_numpy(ids.astype(np.int64))
        self.vocab_size = vocab_size
        self.characters_seen = 0

    @abstractmethod
    def step(self, share: float) -> None:
        """One update, when a ``share`` of the seconds (0 to 1) has gone."""

    def _set_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate


def warm_up_then_cosine(share: float, highest: float, lowest: float, warm_up: float) -> float:
    """The rate at a share of the run."""
    if share < warm_up:
        return highest * max(share, 1e-3) / warm_up
    through = (share - warm_up) / (1 - warm_up)
    return lowest + (highest - lowest) * 0.5 * (1 + math.cos(math.pi * min(through, 1.0)))


class NanoGPT(Contender):
    """nanoGPT on characters: random windows, AdamW, warm-up and cosine from 1e-3 to 1e-4.

    Args:
        size: of the network.
        lanes: B.
        warm_up: which share of its iterations the author warms up for.
    """

    model: Transformer

    def __init__(
        self, ids: np.ndarray, vocab_size: int, size: Size, lanes: int, warm_up: float
    ) -> None:
        super().__init__(ids, vocab_size)
        self.model = Transformer(vocab_size, size)
        self.lanes, self.warm_up = lanes, warm_up
        matrices = [p for p in self.model.parameters() if p.dim() >= 2]
        others = [p for p in self.model.parameters() if p.dim() < 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))

    def step(self, share: float) -> None:
        T = self.model.context
        starts_B1 = torch.randint(len(self.ids_N) - T, (self.lanes, 1))
        windows_BT = self.ids_N[starts_B1 + torch.arange(T + 1)]
        self._set_rate(warm_up_then_cosine(share, 1e-3, 1e-4, self.warm_up))
        logits_BTV = self.model(windows_BT[:, :-1])
        loss = F.cross_entropy(logits_BTV.flatten(0, 1), windows_BT[:, 1:].flatten())
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.characters_seen += self.lanes * T


class Stateful(Contender):
    """An LSTM on the text in lanes, its state carried from window to window.

    Args:
        lanes, steps: B and T.
    """

    model: TorchLSTM

    def __init__(self, ids: np.ndarray, vocab_size: int, lanes: int, steps: int) -> None:
        super().__init__(ids, vocab_size)
        length = (len(ids) - 1) // lanes
        self.inputs_NB = self.ids_N[: length * lanes].view(lanes, length).t()
        self.targets_NB = self.ids_N[1 : length * lanes + 1].view(lanes, length).t()
        self.steps, self.place, self.epoch = steps, 0, 0
        self.state: State | None = None

    def loss(self) -> torch.Tensor:
        """Of the next window."""
        if self.place + self.steps > len(self.inputs_NB):
            self.place, self.epoch = 0, self.epoch + 1
        window = slice(self.place, self.place + self.steps)
        self.place += self.steps
        logits_TBV, (hidden, memory) = self.model(self.inputs_NB[window], self.state)
        self.state = hidden.detach(), memory.detach()
        targets_TB = self.targets_NB[window]
        self.characters_seen += targets_TB.numel()
        return F.cross_entropy(logits_TBV.flatten(0, 1), targets_TB.flatten())


class CharRNN(Stateful):
    """char-rnn's defaults: two layers of 128, RMSProp, each entry of the gradient clipped."""

    def __init__(self, ids: np.ndarray, vocab_size: int, lanes: int = 50, steps: int = 50) -> None:
        super().__init__(ids, vocab_size, lanes, steps)
        self.model = TorchLSTM(vocab_size, 128, layers=2)
        for parameter in self.model.parameters():
            nn.init.uniform_(parameter, -0.08, 0.08)
        self.model.open_forget_gates()
        self.optimizer = torch.optim.RMSprop(self.model.parameters(), lr=2e-3, alpha=0.95)

    def step(self, share: float) -> None:
        # Its author's schedule goes by epochs: from the tenth on, 3 % less after each.
        self._set_rate(2e-3 * 0.97 ** max(0, self.epoch - 9))
        self.optimizer.zero_grad()
        self.loss().backward()
        nn.utils.clip_grad_value_(self.model.parameters(), 5.0)
        self.optimizer.step()


class AdamWLSTM(Stateful):
    """One LSTM layer by ``torch.nn`` and AdamW: what one would write without charlm.

    Lanes, rate and start were chosen among eleven with 256 units and three epochs, by the last tenth
    of the training text: from 1.77 nats (32 lanes, 0.006, torch's own start) down to 1.50. With 8
    lanes and 0.012 it was 1.49, in more time.

    Args:
        hidden_size: that of our recipe.
    """

    def __init__(
        self, ids: np.ndarray, vocab_size: int, hidden_size: int, lanes: int = 16, steps: int = 64
    ) -> None:
        super().__init__(ids, vocab_size, lanes, steps)
        self.model = TorchLSTM(vocab_size, hidden_size)
        self.model.open_forget_gates()
        self.model.make_recurrent_matrices_orthogonal()
        self.rate = 0.025 * math.sqrt(256 / hidden_size)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), betas=(0.9, 0.99))

    def step(self, share: float) -> None:
        self._set_rate(warm_up_then_cosine(share, self.rate, 0.0, 0.03))
        self.optimizer.zero_grad()
        self.loss().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
