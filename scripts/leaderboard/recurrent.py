"""An LSTM through ``torch.nn``: one-hot symbols, stacked layers, logits.

T time steps · B lanes · V vocabulary
"""

from torch import Tensor, nn
from torch.nn import functional as F

State = tuple[Tensor, Tensor]


class TorchLSTM(nn.Module):
    """ids -> logits, and the state after.

    Args:
        vocab_size: V.
        hidden_size: of each layer.
        layers: how many.
    """

    def __init__(self, vocab_size: int, hidden_size: int, layers: int = 1) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.layers = nn.LSTM(vocab_size, hidden_size, layers)
        self.output = nn.Linear(hidden_size, vocab_size)

    def forward(self, ids_TB: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits [T, B, V], and the state after."""
        one_hot_TBV = F.one_hot(ids_TB, self.vocab_size).to(self.output.weight.dtype)
        outputs_TBH, state = self.layers(one_hot_TBV, state)
        return self.output(outputs_TBH), state

    def open_forget_gates(self) -> None:
        """Let every forget gate start from a bias of 1 (``torch.nn`` keeps two that are added)."""
        H = self.layers.hidden_size
        for layer in range(self.layers.num_layers):
            for name, value in (("bias_ih", 1.0), ("bias_hh", 0.0)):
                bias = getattr(self.layers, f"{name}_l{layer}")
                nn.init.constant_(bias.data[H : 2 * H], value)

    def make_recurrent_matrices_orthogonal(self) -> None:
        """Start from an orthogonal W_hh, gate by gate, and from Glorot's W_ih."""
        for layer in range(self.layers.num_layers):
            for gate in getattr(self.layers, f"weight_hh_l{layer}").data.chunk(4):
                nn.init.orthogonal_(gate)
            nn.init.xavier_uniform_(getattr(self.layers, f"weight_ih_l{layer}").data)

    @property
    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())
