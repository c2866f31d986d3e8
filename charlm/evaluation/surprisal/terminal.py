"""The shaded text for a terminal of 256 colours."""

from itertools import groupby

from charlm.evaluation.scoring import Score
from charlm.evaluation.surprisal.levels import LABELS, levels
from charlm.text.visible import in_running_text

# (background, ink) of each level, as on the light page; the first is the terminal's own.
COLOURS = ("0", *(f"48;5;{paper};38;5;{ink}" for paper, ink in (
    (230, 16), (222, 16), (215, 16), (209, 16), (167, 16), (125, 231), (53, 231),
)))  # fmt: skip


def ansi(score: Score) -> str:
    """The text, each character shaded by its surprisal, with a legend above."""
    legend = "".join(f"\x1b[{COLOURS[i]}m {label} \x1b[0m" for i, label in enumerate(LABELS))
    lines = ["bits  " + legend, ""]
    line = ""
    shaded = zip(levels(score.nats_N), score.text, strict=True)
    for level, run in groupby(shaded, key=lambda pair: pair[0]):
        # The colour ends before a line does, or the terminal colours the rest of it.
        for part in "".join(in_running_text(c) for _, c in run).splitlines(True):
            line += f"\x1b[{COLOURS[level]}m{part.rstrip(chr(10))}\x1b[0m"
            if part.endswith("\n"):
                lines.append(line)
                line = ""
    return "\n".join([*lines, line])
