"""CharLM: encode -> stacked layers -> logits.

T time steps · B lanes · V vocabulary · H hidden size of a layer · E embedding size
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from charlm import recurrence
from charlm.cells import INITIALISATIONS, Cell, State, initialise
from charlm.cells.options import Named, build
from charlm.dropout import CharacterDropout, LockedDropout
from charlm.errors import UserError
from charlm.recurrence.products import linear

# One cell state a layer, from the first layer up.
ModelState = tuple[State, ...]

ENCODINGS = ("one_hot", "embedding")
READOUTS = ("last", "concat")


class CharLM(nn.Module):
    """A character-level recurrent language model (d2l.ai, "Recurrent Neural Networks").

    Args:
        vocab_size: V.
        hidden_sizes: H of each layer, from the first up.
        cell: a name of ``charlm.cells.CELLS`` (rnn, gru, lstm), the path of any other cell's
            class, or the class; for every layer, or a list of one a layer.
        cell_options: of the cells, as their constructors take them: each option goes to every
            layer whose cell has it.
        encoding: ``one_hot`` (the symbol's row of the input weights) or ``embedding``.
        embedding_size: E, with ``encoding="embedding"``.
        dropout: probability with which, in training, an output of a layer below another is dropped
            (``charlm.dropout``: one mask a window).
        input_dropout: the same for a whole character of the input.
        output_dropout: the same for what the output layer reads.
        readout: the output layer sees the ``last`` layer's outputs or all of them, ``concat``.
        initialisation: ``book`` (normal × 0.01, zero biases), ``uniform`` (as ``torch.nn``) or
            ``orthogonal`` (each gate's recurrent matrix; the rest uniform, zero biases).
        backend: how layers are unrolled over time (``charlm.recurrence``).

    Raises:
        UserError: an option that is unknown or contradicts another.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_sizes: Sequence[int] = (512,),
        cell: Named | Sequence[Named] = "rnn",
        cell_options: dict[str, Any] | None = None,
        encoding: str = "one_hot",
        embedding_size: int | None = None,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        readout: str = "last",
        initialisation: str = "book",
        backend: str = "auto",
    ) -> None:
        super().__init__()
        if isinstance(hidden_sizes, int):
            raise UserError(
                f"hidden_sizes is {hidden_sizes}: it is a list, one size a layer, such as [{hidden_sizes}]."
            )
        cells = [cell] * len(hidden_sizes) if isinstance(cell, str | type) else list(cell)
        if not hidden_sizes or len(cells) != len(hidden_sizes):
            raise UserError(
                f"{len(cells)} cells were named for {len(hidden_sizes)} hidden sizes: name one "
                "cell for all layers, or one a layer, and at least one layer."
            )
        for label, value, known in (
            ("encoding", encoding, ENCODINGS),
            ("readout", readout, READOUTS),
            ("initialisation", initialisation, INITIALISATIONS),
        ):
            if value not in known:
                raise UserError(f"Unknown {label} {value!r}: choose one of {', '.join(known)}.")
        if (encoding == "embedding") != (embedding_size is not None):
            raise UserError("Give embedding_size with encoding: embedding, and only with it.")
        self.backend = backend
        self.readout = readout
        self.vocab_size = vocab_size

        self.embedding: nn.Embedding | None = None
        input_size = vocab_size
        if embedding_size is not None:
            self.embedding = nn.Embedding(vocab_size, embedding_size)
            input_size = embedding_size
        self.layers = nn.ModuleList(build(cells, [input_size, *hidden_sizes], cell_options))
        for layer in self.cells:
            initialise(layer, initialisation)
        self.dropout = LockedDropout("dropout", dropout)
        self.input_dropout = CharacterDropout("input_dropout", input_dropout, vocab_size)
        self.output_dropout = LockedDropout("output_dropout", output_dropout)
        self.output = nn.Linear(
            sum(hidden_sizes) if readout == "concat" else hidden_sizes[-1], vocab_size
        )
        if initialisation == "book":
            nn.init.normal_(self.output.weight, 0.0, 0.01)
            nn.init.zeros_(self.output.bias)

    @property
    def backend(self) -> str:
        """How the layers are unrolled; may be changed at any time, the results don't."""
        return self._backend

    @backend.setter
    def backend(self, backend: str) -> None:
        recurrence.check(backend)
        self._backend = backend

    @property
    def cells(self) -> list[Cell]:
        """The layers, from the first up."""
        return [layer for layer in self.layers if isinstance(layer, Cell)]

    def initial_state(self, num_lanes: int) -> ModelState:
        """The zero state of B lanes."""
        return tuple(cell.initial_state(num_lanes) for cell in self.cells)

    def forward(
        self, ids_TB: Tensor, state: ModelState | None = None, begins_TB: Tensor | None = None
    ) -> tuple[Tensor, ModelState]:
        """Logits [T, B, V] for the character after each of ``ids_TB``, and the state after.

        Args:
            ids_TB: symbol ids, time-major.
            state: the state before the first step (none: zeros). Gradients flow into it unless
                it was detached.
            begins_TB: where a document begins (bool): before that step the lane's state becomes
                zero, and no gradient flows beyond. None: nowhere.

        Raises:
            ValueError: ids that aren't [T, B], or a state of another number of lanes or layers;
                beginnings that aren't bool [T, B].
        """
        _, B = ids_TB.shape
        if state is None:
            state = self.initial_state(B)
        if len(state) != len(self.layers) or any(part.shape[0] != B for part in state[0]):
            raise ValueError(
                f"a state of {len(state)} layers and {state[0][0].shape[0]} lanes doesn't fit "
                f"{len(self.layers)} layers and {B} lanes"
            )
        inputs = ids_TB if self.embedding is None else self.embedding(ids_TB)
        inputs = self.input_dropout(inputs, self.output.weight.dtype)
        all_outputs: list[Tensor] = []
        new_state: list[State] = []
        for cell, cell_state in zip(self.cells, state, strict=True):
            if all_outputs:
                inputs = self.dropout(all_outputs[-1])
            outputs_TBH, cell_state = recurrence.unroll(
                cell, inputs, cell_state, self.backend, begins_TB
            )
            all_outputs.append(outputs_TBH)
            new_state.append(cell_state)
        read = torch.cat(all_outputs, dim=2) if self.readout == "concat" else all_outputs[-1]
        read = self.output_dropout(read)
        # As the recurrence's products: the same up to rounding.
        by_hand = self.backend in ("auto", "bptt")
        logits_TBV = (
            linear(read, self.output.weight, self.output.bias) if by_hand else self.output(read)
        )
        return logits_TBV, tuple(new_state)


def detach(state: ModelState) -> ModelState:
    """The same state, cut off from the graph that computed it: where TBPTT truncates."""
    return tuple(tuple(part.detach() for part in cell_state) for cell_state in state)
