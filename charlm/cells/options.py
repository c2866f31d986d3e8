"""The options of cells, as their constructors' signatures give them."""

import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from charlm.cells.cell import Cell
from charlm.cells.naming import find, name_of
from charlm.errors import UserError

Named = str | type[Cell]
# Up to version 0.1 these were options of the model.
_OF_THE_MODEL = ("nonlinearity", "reset_after", "forget_bias")


def options_of(cell: type[Cell]) -> dict[str, inspect.Parameter]:
    """The options of a cell by name: what its constructor takes beside the two sizes."""
    parameters = list(inspect.signature(cell).parameters.values())[2:]
    return {
        parameter.name: parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def build(
    cells: Sequence[Named], sizes: Sequence[int], cell_options: Mapping[str, Any] | None
) -> list[Cell]:
    """The layers of a model, from the first up.

    Args:
        cells: one a layer.
        sizes: the first layer's input size, then every layer's hidden size.
        cell_options: each goes to every layer whose cell takes it.

    Raises:
        UserError: an unknown cell, an option that no layer's cell takes or of another type, or
            one that the cell refuses.
    """
    classes, given = [find(cell) for cell in cells], dict(cell_options or {})
    for name, value in given.items():
        takers = [cell for cell in classes if name in options_of(cell)]
        if not takers:
            known = [f"{cell.__name__}: {_listed(cell)}" for cell in dict.fromkeys(classes)]
            raise UserError(
                f"No layer has a cell with the option {name!r}; their options are {'; '.join(known)}."
            )
        for cell in takers:
            _check_type(cell, name, value)
    layers = []
    for cell, input_size, hidden_size in zip(classes, sizes, sizes[1:], strict=False):
        options = {name: value for name, value in given.items() if name in options_of(cell)}
        try:
            layers.append(cell(input_size, hidden_size, **options))
        except UserError:
            raise
        except (TypeError, ValueError) as error:
            raise UserError(
                f"The cell {cell.__name__} can't be made with the options {options}: {error}."
            ) from error
    return layers


def _listed(cell: type[Cell]) -> str:
    return ", ".join(options_of(cell)) or "none"


def _check_type(cell: type[Cell], name: str, value: Any) -> None:
    """Raise a UserError for a value of another type, if the signature gives a plain one."""
    wanted = typing.get_type_hints(cell.__init__).get(name)
    fits = {
        bool: isinstance(value, bool),
        int: isinstance(value, int) and not isinstance(value, bool),
        float: isinstance(value, int | float) and not isinstance(value, bool),
        str: isinstance(value, str),
    }
    if isinstance(wanted, type) and not fits.get(wanted, True):
        raise UserError(
            f"The option {name} of the cell {cell.__name__} is {value!r}: it must be of type "
            f"{wanted.__name__}."
        )


def modernised(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a model, also where a version up to 0.1 wrote them.

    What they say of a cell is put in ``cell_options``, as far as one of the named cells has it.

    Args:
        options: ``CharLM``'s and any others, of a checkpoint or a configuration file.
    """
    new = {name: value for name, value in options.items() if name not in _OF_THE_MODEL}
    old = {name: options[name] for name in _OF_THE_MODEL if name in options}
    if not old:
        return new
    kept = old
    if "cell" in options:
        classes = _classes(options)
        kept = {n: v for n, v in old.items() if any(n in options_of(cell) for cell in classes)}
    if kept or "cell_options" in options:
        new["cell_options"] = kept | dict(options.get("cell_options") or {})
    return new


def as_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a model in plain types, and ``modernised``: its cells by their names."""
    options = modernised(options)
    if "cell" in options:
        cell = options["cell"]
        is_one = isinstance(cell, str | type)
        options["cell"] = name_of(cell) if is_one else [name_of(one) for one in cell]
    return options


def complete(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a model with its cells' names, and with all of their options.

    So that two models can be compared, whatever of them was written down.
    """
    options = as_names({"cell": "rnn"} | dict(options))
    defaults = {
        name: parameter.default
        for cell in _classes(options)
        for name, parameter in options_of(cell).items()
    }
    return options | {"cell_options": defaults | dict(options.get("cell_options") or {})}


def _classes(options: Mapping[str, Any]) -> list[type[Cell]]:
    cell = options.get("cell", "rnn")
    return [find(name) for name in ([cell] if isinstance(cell, str | type) else cell)]
