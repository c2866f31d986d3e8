"""Character-level recurrent language models with stateful truncated BPTT.

What is named here is imported when it is first used, so that ``import charlm`` loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charlm.beams import beam_search as beam_search
    from charlm.checkpoint import load as load
    from charlm.contexts import Context as Context
    from charlm.contexts import read as read
    from charlm.contexts import restore as restore
    from charlm.errors import UserError as UserError
    from charlm.generation import generate as generate
    from charlm.generation import generate_many as generate_many
    from charlm.model import CharLM as CharLM
    from charlm.vocabulary import Vocabulary as Vocabulary

_HOME = {
    "load": "checkpoint",
    "generate": "generation",
    "generate_many": "generation",
    "read": "contexts",
    "restore": "contexts",
    "beam_search": "beams",
    "Context": "contexts",
    "CharLM": "model",
    "Vocabulary": "vocabulary",
    "UserError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
