"""Whatever merely looks on (samples, plots, logs, the progress bar) never ends a run."""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

Class = TypeVar("Class", bound=type)


def merely_watching(*methods: str) -> Callable[[Class], Class]:
    """A class decorator: what fails in these methods is told, each kind once, and no more.

    ``setup`` and the constructor are none of them: before training begins, nothing is lost by a
    mistake that ends the run, and it is still worth mending.

    Args:
        methods: their names; none: all that the class itself defines and whose names begin with
            ``on_``, the hooks of a callback.
    """

    def decorate(cls: Class) -> Class:
        own: Sequence[str] = methods or [name for name in vars(cls) if name.startswith("on_")]
        for name in own:
            setattr(cls, name, _guarded(getattr(cls, name)))
        return cls

    return decorate


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            told = vars(self).setdefault("_failures_told", set())
            if reason not in told:
                told.add(reason)
                watcher = type(self).__name__
                tqdm.write(
                    f"charlm: {watcher} has failed, and training goes on without it: {reason}",
                    file=sys.stderr,
                )
            return None

    return guarded
