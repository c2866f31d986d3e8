"""How large a model, how much of it is dropped, and how long it trains, by the text's length.

The rule is for one layer of LSTM and about ten minutes on two cores. It was found on texts of 140,000
to 360,000 characters and is a guess beyond: the shorter a text, the more it is read again, and the
more has to be dropped for it not to be learnt by heart.
"""

import inspect
import math
from typing import Any, NamedTuple

from charlm.errors import UserError
from charlm.model import CharLM

SIZES = ("auto",)
# A text of so many characters needs MOST; each doubling, a quarter of it less.
SHORT, MOST = 150_000, 0.4
# So often the text is read, but no more characters than ten minutes have time for.
READINGS, CHARACTERS = 100, 20_000_000


class Sizing(NamedTuple):
    """What the length of a text decides: options of the model, and the Trainer's steps.

    Args:
        architecture: options of ``CharLM``, by name.
        weight_drop: of ``CharLMModule``.
        characters: how many are trained on, one that is read again counted again.
    """

    architecture: dict[str, Any]
    weight_drop: float
    characters: int

    def num_steps(self, characters_per_step: int) -> int:
        """The optimiser's steps, of so many characters each."""
        return max(1, round(self.characters / characters_per_step))


def sizing(size: str, num_characters: int | None) -> Sizing:
    """The rule.

    Args:
        size: ``auto``, the only one.
        num_characters: of the training text.

    Raises:
        UserError: another size; no length to go by.
    """
    if size not in SIZES:
        raise UserError(f"Unknown size {size!r}: choose auto, or leave model.size out.")
    if num_characters is None:
        raise UserError(
            "model.size auto goes by the text's length: give model.num_characters, too."
        )
    dropped = MOST - 0.1 * math.log2(max(num_characters, 1) / SHORT)
    dropped = round(min(max(dropped, 0.0), MOST), 3)
    architecture = {
        "hidden_sizes": [256],
        "input_dropout": round(dropped / 8, 3),
        "output_dropout": dropped,
    }
    return Sizing(architecture, dropped, min(READINGS * num_characters, CHARACTERS))


def check_not_contradicted(sized: Sizing, given: dict[str, Any]) -> None:
    """Raise a UserError for an option that is given, and that the rule sets to something else."""
    defaults = inspect.signature(CharLM).parameters
    rule = sized.architecture | {"weight_drop": sized.weight_drop}
    for name, value in rule.items():
        default = defaults[name].default if name in defaults else 0.0
        if name in given and _plain(given[name]) not in (_plain(default), value):
            raise UserError(
                f"model.size auto sets {name} to {value}, and model.{name} is {given[name]}: leave one "
                "of the two out."
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
