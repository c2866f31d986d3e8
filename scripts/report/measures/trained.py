"""The models that the runs left behind, and the text that they were trained on."""

from typing import Any

import torch
from torch import Tensor

from charlm.checkpoint import Trained, load
from charlm.text.encoding import encode_corpus

# As in charlm/configs/exercise.yaml.
NUM_TRAINED, NUM_HELD_OUT = 10_000, 2_000


def models(runs: list[dict[str, Any]]) -> list[Trained]:
    """Those of the runs that ended well."""
    return [load(run["checkpoint"]) for run in runs if run["stopped"] is None]


def texts(corpus: str = "time-machine") -> dict[str, Tensor]:
    """The ids of the text trained on and of the text held out."""
    ids = encode_corpus(corpus, None, "book", NUM_TRAINED + NUM_HELD_OUT).ids
    everything = torch.from_numpy(ids.astype("int64"))
    return {"training": everything[:NUM_TRAINED], "held-out": everything[NUM_TRAINED:]}
