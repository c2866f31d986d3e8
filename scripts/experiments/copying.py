"""The copy task as a text: a letter, a stretch of dots, a question mark, and the letter again."""

from pathlib import Path

import numpy as np

LETTERS = "abcdefgh"
LONGEST = 40  # dots in the text trained on
NUM_TASKS = 2600
HELD_OUT = 4000


def text(seed: int = 0, num_tasks: int = NUM_TASKS) -> str:
    """``c....?ca..........?a`` and so on, 1 to ``LONGEST`` dots, each number as likely."""
    random = np.random.default_rng(seed)
    letters = random.choice(list(LETTERS), num_tasks)
    delays = random.integers(1, LONGEST + 1, num_tasks)
    return "".join(task(letter, delay) for letter, delay in zip(letters, delays, strict=True))


def task(letter: str, delay: int) -> str:
    return f"{letter}{'.' * delay}?{letter}"


def write(path: Path) -> None:
    """The text as a file, unless it is there."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text())
