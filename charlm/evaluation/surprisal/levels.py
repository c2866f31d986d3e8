"""The levels of surprisal.

N characters of a text
"""

import numpy as np

# Where one level of surprisal ends and the next begins, in bits.
BOUNDS = (0.5, 1, 2, 3, 4, 6, 8)
LABELS = tuple(
    f"{low:g}-{high:g}" if high else f"{low:g}+"
    for low, high in zip((0, *BOUNDS), (*BOUNDS, None), strict=True)
)


def levels(nats_N: np.ndarray) -> list[int]:
    """The level of each character's surprisal, 0 to 7 [N]."""
    level_N: list[int] = np.digitize(nats_N / np.log(2), BOUNDS).tolist()
    return level_N
