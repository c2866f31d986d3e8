"""Optimisers and schedulers by the path of their class, so that options stay plain types."""

import importlib
from collections.abc import Callable
from typing import Any

from charlm.errors import UserError


def find(role: str, class_path: str) -> Any:
    """The class at a path such as ``torch.optim.SGD``.

    Raises:
        UserError: there is none.
    """
    module, _, name = class_path.rpartition(".")
    if not module:
        raise UserError(
            f"The {role} {class_path!r} can't be found: name its class by its path, such as "
            "torch.optim.SGD or torch.optim.lr_scheduler.StepLR."
        )
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"The {role} {class_path!r} can't be found: {error}.") from error


def build(
    role: str, name: str, maker: Callable[..., Any] | None, /, *args: Any, **options: Any
) -> Any:
    """What ``maker`` (none: the class at the path ``name``) makes of its arguments.

    Raises:
        UserError: there is no such class, or it doesn't take the arguments.
    """
    maker = maker or find(role, name)
    try:
        return maker(*args, **options)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"The {role} {name!r} with the options {options} can't be made: {error}."
        ) from error
