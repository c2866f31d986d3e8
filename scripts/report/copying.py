"""The copy task as a text: a word of random letters, a stretch of dots, and the word again."""

from pathlib import Path

import numpy as np

from charlm.text.files import atomic_writer

LETTERS = "abcdefgh"
WORD = 3
LONGEST = 60  # dots in the text trained on
NUM_TASKS = 3200
HELD_OUT = 4000
FILE = f"copy-{WORD}-letters-{LONGEST}-dots.txt"


def text(seed: int = 0, num_tasks: int = NUM_TASKS) -> str:
    """``bgac....?bgachhcd..........?hhcd`` and so on; short stretches are as often as long."""
    random = np.random.default_rng(seed)
    return "".join(task(word(random), dots(random)) for _ in range(num_tasks))


def word(random: np.random.Generator) -> str:
    return "".join(random.choice(list(LETTERS), WORD))


def dots(random: np.random.Generator) -> int:
    """1 to ``LONGEST``, their logarithm uniform: so that there is something easy to begin with."""
    return int(np.exp(random.uniform(0, np.log(LONGEST + 1))))


def task(letters: str, num_dots: int) -> str:
    return f"{letters}{'.' * num_dots}?{letters}"


def write(folder: Path) -> None:
    """The text as a file, unless it is there."""
    path = folder / FILE
    if not path.is_file():
        with atomic_writer(path) as file:
            file.write(text().encode())
