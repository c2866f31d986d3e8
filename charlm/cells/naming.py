"""Cells by name: a short one of ``CELLS``, the path of any other class, or the class itself."""

import importlib

from charlm.cells import CELLS, Cell
from charlm.errors import UserError


def find(cell: str | type[Cell]) -> type[Cell]:
    """The class of a cell.

    Args:
        cell: a name of ``CELLS``, a class path such as ``my_package.MyCell``, or the class.

    Raises:
        UserError: there is no such cell, or what is there is none.
    """
    if isinstance(cell, type):
        return _checked(cell, cell.__qualname__)
    if cell in CELLS:
        return CELLS[cell]
    module, _, name = cell.rpartition(".")
    if not module:
        raise UserError(
            f"Unknown cell {cell!r}: choose one of {', '.join(CELLS)}, or name a class of your own "
            "by its path, such as my_package.MyCell."
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise UserError(
            f"The cell {cell} can't be imported ({error}): install its package, or put the folder "
            "that holds it on PYTHONPATH."
        ) from error
    return _checked(found, cell)


def _checked(found: object, name: str) -> type[Cell]:
    if not (isinstance(found, type) and issubclass(found, Cell)):
        raise UserError(f"{name} is no cell: it must be a subclass of charlm.cells.Cell.")
    missing = sorted(found.__abstractmethods__)
    if missing:
        raise UserError(f"{name} is an abstract cell: it has no {' and no '.join(missing)}.")
    return found


def name_of(cell: str | type[Cell]) -> str:
    """The name that ``find`` finds a cell by: what a checkpoint keeps of it.

    Raises:
        UserError: see ``find``; a class that can't be found again, made inside a function.
    """
    found = find(cell)
    for name, known in CELLS.items():
        if known is found:
            return name
    if "<locals>" in found.__qualname__:
        raise UserError(
            f"The cell {found.__qualname__} is made inside a function, where a checkpoint can't "
            "find it again: move it to the top level of a module."
        )
    return f"{found.__module__}.{found.__qualname__}"
