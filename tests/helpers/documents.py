"""The commands and programs that a document shows its reader."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What stands before "text" is output, not to be run.
KINDS = {"": "shell", "python": "python", "text": "output"}


@dataclass(frozen=True)
class Shown:
    """A command line, or a program, as the document shows it."""

    kind: str
    content: str

    @property
    def words(self) -> list[str]:
        """Of a command line, without its comment."""
        return shlex.split(self.content, comments=True)


def shown(name: str) -> list[Shown]:
    """Everything between fences in a document of the repository, in order.

    Raises:
        KeyError: a fence of a kind that isn't run and isn't output.
    """
    found = []
    for language, content in FENCE.findall((ROOT / name).read_text(encoding="utf-8")):
        kind = KINDS[language]
        if kind == "shell":
            joined = content.replace("\\\n", " ")
            found += [Shown(kind, line.strip()) for line in joined.splitlines() if line.strip()]
        else:
            found.append(Shown(kind, content))
    return found


def links(name: str) -> list[str]:
    """The targets of a document's links and images."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"\]\(([^)\s]+)\)", text)
