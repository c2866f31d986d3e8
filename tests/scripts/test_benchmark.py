"""The benchmark: its baseline computes what the book's equations say, and its rows are whole."""

import sys
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from charlm.cells import GRU, LSTM, RNN, initialise
from charlm.errors import UserError
from charlm.recurrence import eager
from scripts.benchmarks import __main__ as benchmark
from scripts.benchmarks import (
    book,
    contestants,
    floor,
    generation_rows,
    pairs,
    results,
    timing,
    whole_fit,
)

# The book's gates in the order of ours.
ORDER = {"rnn": "h", "gru": "rzh", "lstm": "ifco"}


@pytest.mark.parametrize(
    ("name", "cell"),
    [("rnn", RNN(28, 6)), ("gru", GRU(28, 6, reset_after=False)), ("lstm", LSTM(28, 6))],
)
def test_the_book_s_loop_computes_what_the_cell_does(name: str, cell: torch.nn.Module) -> None:
    initialise(cell, "uniform")  # type: ignore[arg-type]
    net = book.BookModel(name, 28, 6)
    gates = dict(zip(net.GATES[name], net.gates, strict=True))
    with torch.no_grad():
        for block, gate in enumerate(ORDER[name]):
            rows = slice(block * 6, (block + 1) * 6)
            gates[gate][0][:] = cell.weight_ih[rows].T
            gates[gate][1][:] = cell.weight_hh[rows].T
            gates[gate][2][:] = cell.bias[rows]
        ids_TB = torch.randint(28, (7, 3))
        logits, state = net(ids_TB.T, net.begin_state(3))
        outputs_TBH, ours = eager.unroll(cell, ids_TB, cell.initial_state(3))  # type: ignore[arg-type]
        torch.testing.assert_close(logits, outputs_TBH.flatten(0, 1) @ net.W_hq + net.b_q)
        for theirs, part in zip(state, ours, strict=True):
            torch.testing.assert_close(theirs, part)


def test_the_book_s_step_clips_and_descends() -> None:
    net = book.BookModel("rnn", 28, 6)
    with torch.no_grad():
        net.b_q[:] = 100 * torch.arange(28.0)  # a sure and wrong guess: a gradient to be clipped
    before = [param.detach().clone() for param in net.params]
    X, Y = torch.zeros(2, 5, dtype=torch.long), torch.zeros(2, 5, dtype=torch.long)
    book.train_step(net, X, Y, net.begin_state(2))
    moved = [new.detach() - old for new, old in zip(net.params, before, strict=True)]
    assert torch.cat([part.flatten() for part in moved]).norm() == pytest.approx(1.0, rel=1e-3)


def test_the_book_s_prediction_continues_the_prefix_greedily() -> None:
    net = book.BookModel("rnn", 28, 6)
    with torch.no_grad():
        net.b_q[5] = 10
    assert book.predict([1, 2, 3], 4, net) == [1, 2, 3, 5, 5, 5, 5]


def test_rows_say_what_the_readers_of_the_json_need(
    novel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "SIZES", (8,))
    rows = benchmark.training_rows("cpu", 2, 0.001, defaultdict(lambda: 1.0))
    ways = {(row["cell"], row["backend"]) for row in rows}
    assert {("rnn", "book"), ("rnn", "torch"), ("rnn", "eager"), ("lstm", "library")} <= ways
    # torch.nn has no such GRU, so there is no backend of its kernels either.
    assert not {("gru (book)", "torch"), ("gru (book)", "library")} & ways
    for row in rows:
        assert row.keys() >= {
            "cell",
            "backend",
            "hidden_size",
            "device",
            "characters_per_second",
            "ratio_to_book",
            "ratio_to_torch",
            "share_of_floor",
        }
        assert row["characters_per_second"] > 0
        assert (row["backend"] == "book") <= (row["ratio_to_book"] == 1.0)
    assert sum(row["is_auto"] for row in rows) == len(contestants.CELLS)
    benchmark.print_table(rows)


def test_generation_and_start_up_are_measured(
    novel: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark.py"])
    rows = [
        generation_rows.generation_row(2, 0.001, length=5),
        generation_rows.many_texts_row("lstm", 2, 0.001, length=5, num_texts=3),
        *generation_rows.weights_rows(2, 0.001, length=5),
        benchmark.start_up_row(2),
    ]
    assert all(row["kind"] and row["ratio"] > 0 for row in rows)
    benchmark.print_table(rows)
    told = capsys.readouterr().out
    assert "x the book's loop" in told
    assert "weights in int8" in told
    assert "3 texts of the lstm" in told
    assert "import torch" in told


def test_the_trainer_is_measured_with_everything_on(
    novel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark.py"])
    row = whole_fit.trainer_row("cpu", rounds=2, epochs=1)
    assert row.keys() >= {"kind", "ratio", "ratio_to_book", "characters_per_second"}
    assert row["ratio_of_nothing_on"] > 0
    benchmark.print_table([row])
    assert row["ratio"] > 0


def test_the_floor_is_the_fastest_way_of_each_part() -> None:
    steps = floor.parts(3, 8, 2, 4, 5, "cpu")
    assert {part for part, _ in steps} == {"forward", "backward", "weights", "output"}
    assert {way for _, way in steps} >= {"torch.mm"}
    timed = {key: timing.Contestant(step, [2.0, 2.0]) for key, step in steps.items()}
    timed["backward", "fast"] = timing.Contestant(lambda: None, [1.0, 1.0])
    assert floor.floor(timed)[0] == 7.0
    assert "backward fast" in floor.floor(timed)[1]


@pytest.mark.parametrize("way", floor.WAYS)
def test_every_way_multiplies(way: str) -> None:
    left, right = torch.randn(4, 16), torch.randn(16, 32)
    try:
        multiply = floor.WAYS[way](left, right)
    except (AttributeError, RuntimeError):
        pytest.skip("torch was built without it")
    torch.testing.assert_close(multiply(), left @ right, rtol=1e-4, atol=1e-4)


def test_results_are_kept_and_compared(novel: str, tmp_path: Path) -> None:
    step = pairs.model_step("min_gru", [8])
    half = pairs.model_step("gru", [8], is_half=True)
    rows = [pairs.against_row("a", step, half, 3, 0.001)]
    path = results.write(rows, tmp_path)
    theirs = results.read(path)
    assert theirs.keys() >= {"date", "processor", "threads", "torch", "python", "rows"}
    theirs["rows"][0]["characters_per_second"] /= 2
    head, line = results.comparison(rows, theirs)
    assert theirs["processor"] in head
    assert "against a cpu: 2.00 x" in line
    with pytest.raises(UserError, match="can't be read as a benchmark's results"):
        results.read(tmp_path / "none.json")
