"""Small models, and a server of them, for tests of the pages."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from charlm.checkpoint import Trained
from charlm.inspection.live import Model
from charlm.inspection.server import Server
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary


def trained(cell: str = "lstm", characters: str = "abcdefgh \n", **options: Any) -> Trained:
    torch.manual_seed(0)
    vocabulary = Vocabulary(characters)
    model = CharLM(len(vocabulary), cell=cell, initialisation="uniform", **options).eval()
    # Far from even odds, and far from chaos, where rounding would soon make another text.
    with torch.no_grad():
        model.output.weight *= 5
    return Trained(model, vocabulary)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    models = [Model("<i>one", trained(hidden_sizes=[6])), Model("two", trained("gru"))]
    with Server(("127.0.0.1", 0), models) as started:
        thread = threading.Thread(target=started.serve_forever)
        thread.start()
        yield started
        started.shutdown()
        thread.join()
