"""What the benchmark times: one training iteration, done in each of the ways there are.

T time steps · B lanes · V vocabulary
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from charlm.errors import UserError
from charlm.model import CharLM, detach
from charlm.recurrence import BACKENDS
from charlm.text.encoding import encode_corpus
from scripts.benchmarks import book
from scripts.benchmarks.timing import Step

B, T, V = 32, 35, 28
CHARACTERS = B * T
# name -> (the book's cell, torch.nn's, ours)
CELLS: dict[str, tuple[str, type[nn.RNNBase] | None, dict[str, Any]]] = {
    "rnn": ("rnn", nn.RNN, {"cell": "rnn"}),
    "gru": ("gru", nn.GRU, {"cell": "gru"}),
    "gru (book)": ("gru", None, {"cell": "gru", "cell_options": {"reset_after": False}}),
    "lstm": ("lstm", nn.LSTM, {"cell": "lstm"}),
}
GATES = {"rnn": 1, "gru": 3, "gru (book)": 3, "lstm": 4}


def windows(device: str) -> Iterator[Tensor]:
    """Ids [T+1, B], one window after another, from the novel or what stands in for it."""
    try:
        ids = encode_corpus("time-machine", None, "book", 100_000).ids
    except UserError:
        ids = encode_corpus("python-docs", None, "book", 100_000).ids
    lanes_TB = torch.from_numpy(ids[: len(ids) // B * B].astype("int64")).reshape(B, -1).T
    lanes_TB = lanes_TB.contiguous().to(device)
    while True:
        for start in range(0, len(lanes_TB) - T - 1, T):
            yield lanes_TB[start : start + T + 1]


def book_step(cell: str, hidden_size: int, device: str) -> Step:
    net = book.BookModel(cell, V, hidden_size, device)
    stream = windows(device)
    state = net.begin_state(B)

    def step() -> None:
        nonlocal state
        ids = next(stream)
        state, _ = book.train_step(net, ids[:-1].T, ids[1:].T, state)

    return step


class TorchModel(nn.Module):
    """What a user of ``torch.nn`` writes: one-hot, recurrent layer, output layer."""

    def __init__(self, layer: type[nn.RNNBase], hidden_size: int) -> None:
        super().__init__()
        self.recurrent = layer(V, hidden_size)  # type: ignore[call-arg, arg-type]
        self.output = nn.Linear(hidden_size, V)

    def forward(self, ids_TB: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs, state = self.recurrent(F.one_hot(ids_TB, V).float(), state)
        return self.output(outputs), state


def module_step(model: nn.Module, cut: Callable[[Any], Any], device: str) -> Step:
    """An iteration of an ordinary PyTorch loop."""
    model.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    stream = windows(device)
    state: Any = None

    def step() -> None:
        nonlocal state
        ids = next(stream)
        logits_TBV, state = model(ids[:-1], state)
        state = cut(state)
        loss = F.cross_entropy(logits_TBV.flatten(0, 1), ids[1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def torch_step(layer: type[nn.RNNBase], hidden_size: int, device: str) -> Step:
    def cut(state: Any) -> Any:
        return tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()

    return module_step(TorchModel(layer, hidden_size), cut, device)


def charlm_step(options: dict[str, Any], hidden_size: int, backend: str, device: str) -> Step:
    model = CharLM(V, hidden_sizes=[hidden_size], backend=backend, **options)
    return module_step(model, detach, device)


def contestants(name: str, hidden_size: int, device: str) -> dict[str, Callable[[], Step]]:
    """Everything that is measured for one cell and size, each made when it is called for.

    A backend that can't serve the cell is left out.
    """
    book_cell, layer, options = CELLS[name]
    makers: dict[str, Callable[[], Step]] = {
        "book": lambda: book_step(book_cell, hidden_size, device),
    }
    if layer is not None:
        makers["torch"] = lambda: torch_step(layer, hidden_size, device)
    for backend in BACKENDS:
        try:
            charlm_step(options, 2, backend, device)()
        except UserError:
            continue
        makers[backend] = partial(charlm_step, options, hidden_size, backend, device)
    return makers
