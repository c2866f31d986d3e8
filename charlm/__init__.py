"""Character-level recurrent language models with stateful truncated BPTT.

What is named here is imported when it is first used, so that ``import charlm`` loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charlm.cells import GRU as GRU
    from charlm.cells import LSTM as LSTM
    from charlm.cells import RNN as RNN
    from charlm.cells import Cell as Cell
    from charlm.checkpoint import load as load
    from charlm.data.datamodule import CharDataModule as CharDataModule
    from charlm.errors import UserError as UserError
    from charlm.evaluation.scoring import score as score
    from charlm.generation.beam_search import beam_search as beam_search
    from charlm.generation.context import Context as Context
    from charlm.generation.context import read as read
    from charlm.generation.context import restore as restore
    from charlm.generation.generate import generate as generate
    from charlm.generation.generate import generate_many as generate_many
    from charlm.model import CharLM as CharLM
    from charlm.recurrence import unroll as unroll
    from charlm.text.vocabulary import Vocabulary as Vocabulary
    from charlm.training.metrics_file import read_curves as read_curves
    from charlm.training.module import CharLMModule as CharLMModule
    from charlm.training.trainer import make_trainer as make_trainer

__version__ = "0.1.0"

# The module of each name, in the order of the way from a text to a text.
_HOME = {
    "Vocabulary": "text.vocabulary",
    "CharDataModule": "data.datamodule",
    "Cell": "cells",
    "RNN": "cells",
    "GRU": "cells",
    "LSTM": "cells",
    "unroll": "recurrence",
    "CharLM": "model",
    "CharLMModule": "training.module",
    "make_trainer": "training.trainer",
    "read_curves": "training.metrics_file",
    "load": "checkpoint",
    "generate": "generation.generate",
    "generate_many": "generation.generate",
    "read": "generation.context",
    "restore": "generation.context",
    "Context": "generation.context",
    "beam_search": "generation.beam_search",
    "score": "evaluation.scoring",
    "UserError": "errors",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
