"""The levels of surprisal, and a visible sign for every character.

N characters of a text
"""

import unicodedata

import numpy as np

# Where one level of surprisal ends and the next begins, in bits.
BOUNDS = (0.5, 1, 2, 3, 4, 6, 8)
LABELS = tuple(
    f"{low:g}-{high:g}" if high else f"{low:g}+"
    for low, high in zip((0, *BOUNDS), (*BOUNDS, None), strict=True)
)

_SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥", "\x7f": "␡"}


def levels(nats_N: np.ndarray) -> list[int]:
    """The level of each character's surprisal, 0 to 7 [N]."""
    level_N: list[int] = np.digitize(nats_N / np.log(2), BOUNDS).tolist()
    return level_N


def visible(symbol: str) -> str:
    """Something to see in place of a character that is seen badly or does something."""
    if symbol in _SIGNS:
        return _SIGNS[symbol]
    if ord(symbol[0]) < 32:
        return chr(0x2400 + ord(symbol))
    invisible = len(symbol) == 1 and unicodedata.category(symbol) in {
        "Cc", "Cf", "Cs", "Zl", "Zp",
    }  # fmt: skip
    return "▯" if invisible else symbol


def in_running_text(character: str) -> str:
    """The same within a text, where a space is a space and a newline ends a line."""
    if character == "\n":
        return "↵\n"
    return character if character == " " else visible(character)
