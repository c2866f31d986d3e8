"""A text with each character shaded by its surprisal: as a page, or for a terminal.

N characters of a text · K favourites a character
"""

import html
import json
import unicodedata
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from charlm.evaluation.page import SCRIPT, STYLE
from charlm.evaluation.scoring import Score
from charlm.text.vocabulary import Vocabulary

# Where one level of surprisal ends and the next begins, in bits.
BOUNDS = (0.5, 1, 2, 3, 4, 6, 8)
LABELS = tuple(
    f"{low:g}-{high:g}" if high else f"{low:g}+"
    for low, high in zip((0, *BOUNDS), (*BOUNDS, None), strict=True)
)
NUM_FAVOURITES = 5
# What a browser still lays out in a moment.
MAX_SHOWN = 50_000
# Bars of the curve along the text.
NUM_BARS = 200
# Of the terminal's 256 colours: (background, ink) of each level, as on the light page; the first
# is the terminal's own.
TERMINAL = ("0", *(f"48;5;{paper};38;5;{ink}" for paper, ink in (
    (230, 16), (222, 16), (215, 16), (209, 16), (167, 16), (125, 231), (53, 231),
)))  # fmt: skip

_SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥", "\x7f": "␡"}


def sign(character: str) -> str:
    """Something to see in place of a character that is seen badly or does something."""
    if character in _SIGNS:
        return _SIGNS[character]
    if ord(character[0]) < 32:
        return chr(0x2400 + ord(character))
    invisible = len(character) == 1 and unicodedata.category(character) in {
        "Cc", "Cf", "Cs", "Zl", "Zp",
    }  # fmt: skip
    return "▯" if invisible else character


def _in_line(character: str) -> str:
    if character == "\n":
        return "↵\n"
    return character if character == " " else sign(character)


def levels(nats_N: np.ndarray) -> list[int]:
    """The level of each character's surprisal, 0 to 7 [N]."""
    level_N: list[int] = np.digitize(nats_N / np.log(2), BOUNDS).tolist()
    return level_N


def ansi(score: Score) -> str:
    """The shaded text for a terminal of 256 colours, a legend above it."""
    legend = "".join(f"\x1b[{TERMINAL[i]}m {label} \x1b[0m" for i, label in enumerate(LABELS))
    lines = ["bits  " + legend, ""]
    line = ""
    shaded = zip(levels(score.nats_N), score.text, strict=True)
    for level, run in groupby(shaded, key=lambda pair: pair[0]):
        # The colour ends before a line does, or the terminal colours the rest of it.
        for part in "".join(_in_line(character) for _, character in run).splitlines(True):
            line += f"\x1b[{TERMINAL[level]}m{part.rstrip(chr(10))}\x1b[0m"
            if part.endswith("\n"):
                lines.append(line)
                line = ""
    return "\n".join([*lines, line])


def page(scores: Sequence[tuple[str, Score]], vocabulary: Vocabulary, model: str) -> str:
    """One page that needs no other file: the texts shaded, the favourites on hover.

    Args:
        scores: the name of each text, and its score with K favourites.
        vocabulary: the model's.
        model: what to call the model.
    """
    legend = "".join(f'<li class="s{i}">{label}</li>' for i, label in enumerate(LABELS))
    sections = "".join(_section(name, score, vocabulary) for name, score in scores)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<link rel="icon" href="data:,">
<title>Surprisal under {html.escape(model)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>Surprisal under {html.escape(model)}</h1>
<p>Each character is shaded by its surprisal, the bits by which the model was taken unawares:
−log₂ of the probability that it gave the character, knowing what stands before. Point at one, or
move with the arrow keys, to see what the model would rather have read.</p>
<ul class="legend" aria-label="Bits of surprisal of each shade">{legend}</ul>
<p class="unit" aria-hidden="true">bits of surprisal</p>
{sections}
</main>
<div id="card" role="status" hidden></div>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _section(name: str, score: Score, vocabulary: Vocabulary) -> str:
    bits_N = score.nats_N / np.log(2)
    facts = {
        "bits per character": f"{score.bits_per_character:.3f}",
        "perplexity": f"{score.perplexity:,.2f}",
        "characters": f"{len(score.text):,}",
        "unknown": f"{score.num_unknown:,}",
    }
    shown = score.text[:MAX_SHOWN]
    K = score.favourites_NK.shape[1]
    data = {
        "k": K,
        "symbols": [sign(symbol) for symbol in vocabulary.symbols],
        "ids": vocabulary.encode(shown).tolist(),
        "millibits": np.rint(1000 * bits_N[:MAX_SHOWN]).astype(int).tolist(),
        "favourites": score.favourites_NK[:MAX_SHOWN].ravel().tolist(),
        "probabilities": np.rint(1e5 * score.probabilities_NK[:MAX_SHOWN].ravel())
        .astype(int)
        .tolist(),
    }
    characters = "".join(
        f'<i class="s{level}{"" if character in vocabulary else " u"}">'
        f"{html.escape(_in_line(character))}</i>"
        for level, character in zip(levels(score.nats_N[:MAX_SHOWN]), shown, strict=True)
    )
    # "<" would end the script, or begin a comment in it.
    embedded = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    cut = f"<p>The first {MAX_SHOWN:,} characters are shown.</p>" if shown != score.text else ""
    return f"""<section>
<h2>{html.escape(name)}</h2>
<dl>{"".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in facts.items())}</dl>
{_curve(bits_N)}{cut}
<div class="text" tabindex="0" translate="no" lang="" dir="auto">{characters}</div>
<script type="application/json">{embedded}</script>
</section>
"""


def _curve(bits_N: np.ndarray) -> str:
    """Bits per character along the text, as bars from its beginning to its end."""
    parts = np.array_split(bits_N, min(NUM_BARS, len(bits_N)))
    heights = np.array([part.mean() for part in parts])
    top = float(heights.max()) or 1.0
    width = 100 / len(heights)
    bars = "".join(
        f'<rect x="{i * width:.3f}" y="{100 - h:.2f}" width="{width:.3f}" height="{h:.2f}"/>'
        for i, h in enumerate(100 * heights / top)
    )
    mean = 100 * (1 - bits_N.mean() / top)
    return f"""<figure><svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
<g fill="currentColor">{bars}</g><path class="mean" d="M0 {mean:.2f}H100"/></svg>
<figcaption><span>start of the text</span><span>bits per character along the text, at most \
{top:.2f}; dashed: the mean</span><span>end</span></figcaption></figure>
"""
