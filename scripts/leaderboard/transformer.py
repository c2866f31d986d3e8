"""A decoder-only transformer as nanoGPT has it, with nanoGPT's ways of starting and of decaying.

    T time steps · B lanes · D width · V vocabulary

Pre-norm blocks without biases, learnt positions, GELU, the output layer tied to the embedding
(Radford et al. 2019; Karpathy, nanoGPT).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Size:
    """The shape of a transformer."""

    layers: int
    heads: int
    width: int
    context: int
    dropout: float = 0.0


class Block(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x))."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        D = size.width
        self.heads = size.heads
        self.dropout = size.dropout
        self.norm_attention = nn.LayerNorm(D, bias=False)
        self.query_key_value = nn.Linear(D, 3 * D, bias=False)
        self.attention_out = nn.Linear(D, D, bias=False)
        self.norm_feedforward = nn.LayerNorm(D, bias=False)
        self.feedforward_in = nn.Linear(D, 4 * D, bias=False)
        self.feedforward_out = nn.Linear(4 * D, D, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BTD = x_BTD + self._drop(self._attention(self.norm_attention(x_BTD)))
        hidden = F.gelu(self.feedforward_in(self.norm_feedforward(x_BTD)))
        return x_BTD + self._drop(self.feedforward_out(hidden))

    def _attention(self, x_BTD: Tensor) -> Tensor:
        B, T, D = x_BTD.shape
        parts = self.query_key_value(x_BTD).view(B, T, 3, self.heads, D // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        return self.attention_out(mixed.transpose(1, 2).reshape(B, T, D))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class Transformer(nn.Module):
    """ids -> logits.

    Args:
        vocab_size: V.
        size: of the network.
    """

    def __init__(self, vocab_size: int, size: Size) -> None:
        super().__init__()
        self.context = size.context
        self.dropout = size.dropout
        self.embedding = nn.Embedding(vocab_size, size.width)
        self.positions = nn.Embedding(size.context, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # The branches add up: each is drawn smaller, the more there are.
                shrink = math.sqrt(2 * size.layers) if name.endswith("_out.weight") else 1
                nn.init.normal_(parameter, 0.0, 0.02 / shrink)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Logits [B, T, V]; T is at most the context."""
        _, T = ids_BT.shape
        places_T = torch.arange(T, device=ids_BT.device)
        x_BTD = self.embedding(ids_BT) + self.positions(places_T)
        x_BTD = F.dropout(x_BTD, self.dropout, self.training)
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return F.linear(self.norm(x_BTD), self.embedding.weight)

    @property
    def num_parameters(self) -> int:
        """As nanoGPT counts: without the positions."""
        return sum(p.numel() for p in self.parameters()) - self.positions.weight.numel()
