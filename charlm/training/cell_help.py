"""What the command line says of a cell and its options."""

import inspect
from argparse import Action
from typing import Any

from charlm.cells.naming import find, name_of
from charlm.cells.options import options_of


class CellHelp(Action):
    """``--cell_help CELL`` prints what a cell computes, and its options with their defaults."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        cell = find(values)
        print(f"{name_of(cell)}: {inspect.getdoc(cell)}\n")
        for option in options_of(cell).values():
            print(f"--model.cell_options.{option}")
        parser.exit()
