"""A model's layers upon one another: sizes, states, dropout, readout, embedding.

T time steps · B lanes · H hidden size
"""

import pytest
import torch
from torch import Tensor

from charlm.cells import CELLS, Cell, State
from charlm.errors import UserError
from charlm.model import CharLM
from charlm.recurrence import unroll

B, H = 3, 5


def assert_equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_the_book_s_shapes(name: str) -> None:
    """d2l.ai, "RNN from scratch": 2 texts of 5 characters, 28 symbols, 512 hidden units."""
    model = CharLM(28, (512,), name)
    ids_TB = torch.arange(10).reshape(2, 5).T
    logits, state = model(ids_TB)
    assert logits.flatten(0, 1).shape == (10, 28)
    ((hidden, *memory),) = state
    assert hidden.shape == (2, 512)
    assert [part.shape for part in memory] == ([(2, 512)] if name == "lstm" else [])


def test_layers_may_be_unequal() -> None:
    model = CharLM(28, (256, 128))
    assert [tuple(cell.weight_ih.shape) for cell in model.cells] == [(256, 28), (128, 256)]
    logits, state = model(torch.zeros(5, 2, dtype=torch.long))
    assert logits.shape == (5, 2, 28)
    assert [[tuple(part.shape) for part in layer] for layer in state] == [[(2, 256)], [(2, 128)]]


def test_each_layer_carries_its_own_state() -> None:
    """A GRU with an RNN of the same size above it: a shared state would fit, and be wrong."""
    torch.manual_seed(0)
    model = CharLM(7, (H, H), ("gru", "rnn"), initialisation="uniform").double()
    gru, rnn = model.cells
    ids = torch.randint(7, (6, B))
    with torch.no_grad():
        _, state = model(ids[:4])
        logits, (gru_state, rnn_state) = model(ids[4:], state)

        g = r = torch.zeros(B, H, dtype=torch.float64)
        for symbols in ids:
            (g,) = gru.step(gru.project(symbols), (g,))
            (r,) = rnn.step(rnn.project(g), (r,))
    assert_equal(gru_state[0], g)
    assert_equal(rnn_state[0], r)
    assert_equal(logits[-1], model.output(r).detach())
    assert (g - r).abs().max() > 0.1


class Spy:
    """Records what a layer of ``model`` was given, and what it gave."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []

        def spying(cell: Cell, inputs: Tensor, *rest: object) -> tuple[Tensor, State]:
            outputs, state = unroll(cell, inputs, *rest)  # type: ignore[arg-type]
            self.inputs.append(inputs)
            self.outputs.append(outputs.detach().clone())
            return outputs, state

        monkeypatch.setattr("charlm.model.recurrence.unroll", spying)


def test_dropout_is_between_layers_and_in_training_only(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = CharLM(7, (200, 100, 50), dropout=0.25, initialisation="uniform")
    ids = torch.randint(7, (6, B))
    spy = Spy(monkeypatch)
    logits, state = model(ids)
    for below, above in zip(spy.outputs[:-1], spy.inputs[1:], strict=True):
        dropped = above == 0
        assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.05)
        torch.testing.assert_close(above[~dropped], below[~dropped] / 0.75)
    # Neither the last layer's outputs nor any state that is carried on.
    torch.testing.assert_close(logits, model.output(spy.outputs[-1]))
    for outputs, (hidden,) in zip(spy.outputs, state, strict=True):
        assert torch.equal(outputs[-1], hidden)

    model.eval()
    spy = Spy(monkeypatch)
    model(ids)
    for below, above in zip(spy.outputs[:-1], spy.inputs[1:], strict=True):
        assert torch.equal(below, above)


def test_one_layer_has_no_dropout() -> None:
    model = CharLM(7, (20,), dropout=0.5, initialisation="uniform")
    ids = torch.randint(7, (6, B))
    assert torch.equal(model(ids)[0], model(ids)[0])


def test_concat_reads_every_layer_as_it_was_before_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = CharLM(7, (4, 6, 5), readout="concat", dropout=0.5, initialisation="uniform")
    assert model.output.weight.shape == (7, 15)
    spy = Spy(monkeypatch)
    logits, _ = model(torch.randint(7, (6, B)))
    parts = zip(spy.outputs, model.output.weight.split([4, 6, 5], dim=1), strict=True)
    expected = sum((outputs @ weight.T for outputs, weight in parts), model.output.bias)
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("name", CELLS)
def test_a_one_hot_is_the_embedding_by_the_identity(name: str) -> None:
    torch.manual_seed(0)
    one_hot = CharLM(7, (6, 4), name, initialisation="uniform").double()
    embedded = CharLM(7, (6, 4), name, encoding="embedding", embedding_size=7).double()
    embedded.load_state_dict({**one_hot.state_dict(), "embedding.weight": torch.eye(7)})
    ids = torch.randint(7, (5, B))
    gradients = []
    for model in (one_hot, embedded):
        logits, _ = model(ids)
        logits.square().sum().backward()
        gradients.append([logits, *(p.grad for n, p in model.named_parameters() if "emb" not in n)])
    for ours, theirs in zip(*gradients, strict=True):
        assert_equal(ours, theirs)


def test_an_embedding_is_a_vector_a_symbol() -> None:
    torch.manual_seed(0)
    model = CharLM(7, (6,), encoding="embedding", embedding_size=3, initialisation="uniform")
    assert model.embedding is not None
    assert model.embedding.weight.shape == (7, 3)
    (cell,) = model.cells
    ids = torch.randint(7, (5, B))
    outputs, _ = unroll(cell, model.embedding.weight[ids], cell.initial_state(B), "eager")
    torch.testing.assert_close(model(ids)[0], model.output(outputs))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "rmn"}, "Unknown cell 'rmn': choose one of rnn, gru, lstm, min_gru"),
        ({"cell": ("gru", "rnn")}, "2 cells were named for 1 hidden sizes"),
        ({"hidden_sizes": ()}, "for 0 hidden sizes"),
        ({"hidden_sizes": (4, 0)}, "both sizes must be at least 1"),
        ({"encoding": "bytes"}, "Unknown encoding 'bytes': choose one of one_hot, embedding."),
        ({"readout": "first"}, "Unknown readout 'first': choose one of last, concat."),
        ({"initialisation": "xavier"}, "Unknown initialisation 'xavier': choose one of book"),
        ({"embedding_size": 3}, "Give embedding_size with encoding: embedding, and only with it."),
        ({"encoding": "embedding"}, "Give embedding_size with encoding: embedding"),
        ({"dropout": 1.0}, "dropout is 1.0: it is a probability, at least 0 and below 1."),
        ({"dropout": -0.1}, "dropout is -0.1"),
    ],
)
def test_a_contradiction_is_told_in_one_sentence(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as mistake:
        CharLM(7, **{"hidden_sizes": (6,), **options})  # type: ignore[arg-type]
    assert message in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_a_state_of_other_layers_or_lanes_is_refused() -> None:
    model = CharLM(7, (6, 4))
    ids = torch.zeros(5, B, dtype=torch.long)
    with pytest.raises(ValueError, match="a state of 2 layers and 2 lanes doesn't fit 2 layers"):
        model(ids, model.initial_state(2))
    with pytest.raises(ValueError, match="a state of 1 layers"):
        model(ids, model.initial_state(B)[:1])
    with pytest.raises(ValueError, match="doesn't fit RNN"):
        model(ids, tuple(reversed(model.initial_state(B))))
