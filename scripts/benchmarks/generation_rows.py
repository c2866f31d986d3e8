"""The benchmark's rows of generation: one text against the book's loop, many texts against one,
shorter weights against float32.
"""

import contextlib
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from charlm.generation.context import read
from charlm.generation.generate import generate, generate_many
from charlm.generation.row_products import WEIGHTS
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary
from scripts.benchmarks import book
from scripts.benchmarks.contestants import V
from scripts.benchmarks.timing import Contestant, Step, interleave, ratio_spread

LETTERS = Vocabulary("abcdefghijklmnopqrstuvwxyz ", "letters")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def readings(model: CharLM) -> dict[str, Step]:
    """The floor, by several ways: each reads all weights that a character's products take, once."""
    weights = [*(cell.weight_hh for cell in model.cells), model.output.weight]
    table = torch.cat([weight.detach().reshape(-1, weights[0].shape[1]) for weight in weights]).T
    table = table.contiguous()
    row = torch.randn(1, len(table))
    every, start = torch.arange(len(table)), torch.zeros(1, dtype=torch.long)
    return {
        "a sum": table.sum,
        "BLAS": lambda: row @ table,
        "a weighted sum of rows": lambda: functional.embedding_bag(
            every, table, start, mode="sum", per_sample_weights=row[0]
        ),
    }


def floor(timed: dict[str, Contestant], ways: Iterable[str]) -> tuple[float, str]:
    """The seconds of the fastest way to read the weights, and which it was."""
    return min((timed[way].median, way) for way in ways)


def generation_row(rounds: int, seconds: float, length: int = 1000) -> dict[str, Any]:
    """Greedy text at 512 hidden on one thread, against the book's loop in inference mode."""
    model = CharLM(V, hidden_sizes=[512]).eval()
    prefix = [int(i) for i in LETTERS.encode("time traveller")]
    net = book.BookModel("rnn", V, 512)
    ways: dict[str, Step] = {
        "charlm": lambda: generate(model, LETTERS, "time traveller", length),
        "book": lambda: book.predict(prefix, length, net),
    }
    with one_thread(), torch.inference_mode():
        reads = readings(model)
        timed = interleave(ways | reads, rounds, seconds, "cpu")
    floor_seconds, way = floor(timed, reads)
    return {
        "kind": "generate",
        "cell": "rnn",
        "hidden_size": 512,
        "device": "cpu",
        "characters_per_second": length / timed["charlm"].median,
        "spread": timed["charlm"].spread,
        "ratio": timed["book"].median / timed["charlm"].median,
        "share_of_floor": length * floor_seconds / timed["charlm"].median,
        "floor": way,
    }


def weights_rows(rounds: int, seconds: float, length: int = 100) -> list[dict[str, Any]]:
    """One text of an LSTM of 1,024 units on one thread: shorter weights against float32."""
    model = CharLM(V, cell="lstm", hidden_sizes=[1024]).eval()
    contexts = {kept: read(model, LETTERS, "time", kept) for kept in WEIGHTS}
    ways: dict[str, Step] = {
        kept: partial(context.generate, length) for kept, context in contexts.items()
    }
    with one_thread(), torch.inference_mode():
        reads = readings(model)
        timed = interleave(ways | reads, rounds, seconds, "cpu")
    floor_seconds, way = floor(timed, reads)
    return [
        {
            "kind": "generate_short",
            "cell": "lstm",
            "hidden_size": 1024,
            "backend": kept,
            "device": "cpu",
            "characters_per_second": length / timed[kept].median,
            "spread": ratio_spread(timed["float32"], timed[kept]),
            "ratio": timed["float32"].median / timed[kept].median,
            "share_of_floor": length * floor_seconds / timed[kept].median,
            "floor": way,
        }
        for kept in WEIGHTS
    ]


def many_texts_row(
    cell: str, rounds: int, seconds: float, length: int = 200, num_texts: int = 64
) -> dict[str, Any]:
    """Drawn texts at 512 hidden on one thread: many at once against one."""
    model = CharLM(V, cell=cell, hidden_sizes=[512]).eval()

    def texts(number: int) -> list[str]:
        prefixes = ["time traveller"]
        return list(generate_many(model, LETTERS, prefixes, length, number, 0, temperature=1.0))

    with one_thread():
        timed = interleave(
            {"one": lambda: texts(1), "many": lambda: texts(num_texts)}, rounds, seconds, "cpu"
        )
    return {
        "kind": "generate_many",
        "cell": cell,
        "hidden_size": 512,
        "device": "cpu",
        "num_texts": num_texts,
        "characters_per_second": num_texts * length / timed["many"].median,
        "spread": timed["many"].spread,
        "ratio": num_texts * timed["one"].median / timed["many"].median,
    }
