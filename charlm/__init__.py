"""Character-level recurrent language models with stateful truncated BPTT.

What is named here is imported when it is first used, so that ``import charlm`` loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charlm.checkpoint import load as load
    from charlm.errors import UserError as UserError
    from charlm.generation.beam_search import beam_search as beam_search
    from charlm.generation.context import Context as Context
    from charlm.generation.context import read as read
    from charlm.generation.context import restore as restore
    from charlm.generation.generate import generate as generate
    from charlm.generation.generate import generate_many as generate_many
    from charlm.model import CharLM as CharLM
    from charlm.text.vocabulary import Vocabulary as Vocabulary

_HOME = {
    "load": "checkpoint",
    "generate": "generation.generate",
    "generate_many": "generation.generate",
    "read": "generation.context",
    "restore": "generation.context",
    "beam_search": "generation.beam_search",
    "Context": "generation.context",
    "CharLM": "model",
    "Vocabulary": "text.vocabulary",
    "UserError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
