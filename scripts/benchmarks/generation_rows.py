"""The benchmark's rows of generation: one text against the book's loop, many texts against one,
weights in float16 against float32.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from charlm.generation.context import read
from charlm.generation.generate import generate, generate_many
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary
from scripts.benchmarks import book
from scripts.benchmarks.contestants import V
from scripts.benchmarks.timing import Step, interleave, ratio_spread

LETTERS = Vocabulary("abcdefghijklmnopqrstuvwxyz ", "letters")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def reading(model: CharLM) -> Step:
    """Reads as many numbers as the weights that a character's products take; the least time."""
    weights = [*(cell.weight_hh for cell in model.cells), model.output.weight]
    return torch.randn(sum(weight.numel() for weight in weights)).sum


def generation_row(rounds: int, seconds: float, length: int = 1000) -> dict[str, Any]:
    """Greedy text at 512 hidden on one thread, against the book's loop in inference mode."""
    model = CharLM(V, hidden_sizes=[512]).eval()
    prefix = [int(i) for i in LETTERS.encode("time traveller")]
    net = book.BookModel("rnn", V, 512)
    ways: dict[str, Step] = {
        "charlm": lambda: generate(model, LETTERS, "time traveller", length),
        "book": lambda: book.predict(prefix, length, net),
        "read": reading(model),
    }
    with one_thread():
        timed = interleave(ways, rounds, seconds, "cpu")
    return {
        "kind": "generate",
        "cell": "rnn",
        "hidden_size": 512,
        "device": "cpu",
        "characters_per_second": length / timed["charlm"].median,
        "spread": timed["charlm"].spread,
        "ratio": timed["book"].median / timed["charlm"].median,
        "share_of_floor": length * timed["read"].median / timed["charlm"].median,
    }


def half_weights_row(rounds: int, seconds: float, length: int = 100) -> dict[str, Any]:
    """One text of an LSTM of 1,024 units on one thread: weights in float16 against float32."""
    model = CharLM(V, cell="lstm", hidden_sizes=[1024]).eval()
    contexts = {way: read(model, LETTERS, "time", way) for way in ("float16", "float32")}
    with one_thread():
        ways: dict[str, Step] = {
            way: partial(context.generate, length) for way, context in contexts.items()
        }
        timed = interleave(ways | {"read": reading(model)}, rounds, seconds, "cpu")
    return {
        "kind": "generate_half",
        "cell": "lstm",
        "hidden_size": 1024,
        "device": "cpu",
        "characters_per_second": length / timed["float16"].median,
        "spread": ratio_spread(timed["float32"], timed["float16"]),
        "ratio": timed["float32"].median / timed["float16"].median,
        "share_of_floor": length * timed["read"].median / timed["float32"].median,
    }


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
