"""The benchmark's rows of generation: one text against the book's loop, many texts against one."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from charlm.generation.generate import generate, generate_many
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary
from scripts.benchmarks import book
from scripts.benchmarks.contestants import V
from scripts.benchmarks.timing import Step, interleave

LETTERS = Vocabulary("abcdefghijklmnopqrstuvwxyz ", "letters")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def generation_row(rounds: int, seconds: float, length: int = 1000) -> dict[str, Any]:
    """Greedy text at 512 hidden on one thread, against the book's loop in inference mode."""
    model = CharLM(V, hidden_sizes=[512]).eval()
    prefix = [int(i) for i in LETTERS.encode("time traveller")]
    net = book.BookModel("rnn", V, 512)
    ways: dict[str, Step] = {
        "charlm": lambda: generate(model, LETTERS, "time traveller", length),
        "book": lambda: book.predict(prefix, length, net),
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
