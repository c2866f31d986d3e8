"""The shaded text as one page that needs no other file: ``page.html``, with its style and script.

N characters of a text · K likeliest symbols at each place
"""

import html
from collections.abc import Sequence
from pathlib import Path
from string import Template

import numpy as np

from charlm.evaluation.scoring import Score
from charlm.evaluation.surprisal.levels import LABELS, levels
from charlm.pages.common import json_in_html, with_common
from charlm.text.visible import in_running_text, visible, visible_name
from charlm.text.vocabulary import Vocabulary

FOLDER = Path(__file__).parent
# How many of the likeliest symbols the page shows at each place.
TOP_K = 5
# What a browser still lays out in a moment.
MAX_SHOWN = 50_000
# Bars of the curve along the text.
NUM_BARS = 200


def page(scores: Sequence[tuple[str, Score]], vocabulary: Vocabulary, model: str) -> str:
    """The texts shaded, the likeliest symbols on hover.

    Args:
        scores: the name of each text, and its score with K likeliest symbols a place.
        vocabulary: the model's.
        model: what to call the model.
    """
    return _fill(
        "page.html",
        model=html.escape(visible_name(model)),
        style=with_common(FOLDER / "page.css"),
        script=with_common(FOLDER / "page.js"),
        legend="".join(f'<li class="s{i}">{label}</li>' for i, label in enumerate(LABELS)),
        sections="".join(_section(name, score, vocabulary) for name, score in scores),
    )


def _section(name: str, score: Score, vocabulary: Vocabulary) -> str:
    facts = {
        "bits per character": f"{score.bits_per_character:.3f}",
        "perplexity": f"{score.perplexity:,.2f}",
        "characters": f"{len(score.text):,}",
        "unknown": f"{score.num_unknown:,}",
    }
    shown = score.text[:MAX_SHOWN]
    characters = "".join(
        f'<i class="s{level}{"" if character in vocabulary else " u"}">'
        f"{html.escape(in_running_text(character))}</i>"
        for level, character in zip(levels(score.nats_N[:MAX_SHOWN]), shown, strict=True)
    )
    bits_N = score.nats_N / np.log(2)
    heights = [float(part.mean()) for part in np.array_split(bits_N, min(NUM_BARS, len(bits_N)))]
    top = max(heights) or 1.0
    return _fill(
        "section.html",
        name=html.escape(visible_name(name)),
        facts="".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in facts.items()),
        bars=_bars([100 * height / top for height in heights]),
        mean=f"{100 * (1 - bits_N.mean() / top):.2f}",
        top=f"{top:.2f}",
        cut=""
        if shown == score.text
        else f"<p>The first {MAX_SHOWN:,} characters are shown.</p>\n",
        characters=characters,
        data=_data(score, vocabulary),
    )


def _data(score: Score, vocabulary: Vocabulary) -> str:
    """What ``page.js`` shows of each character, as JSON that can stand inside a script element."""
    shown = slice(MAX_SHOWN)
    data = {
        "k": score.top_ids_NK.shape[1],
        "symbols": [visible(symbol) for symbol in vocabulary.symbols],
        "ids": vocabulary.encode(score.text[shown]).tolist(),
        "millibits": np.rint(1000 * score.nats_N[shown] / np.log(2)).astype(int).tolist(),
        "top": score.top_ids_NK[shown].ravel().tolist(),
        "probabilities": np.rint(1e5 * score.top_probabilities_NK[shown].ravel())
        .astype(int)
        .tolist(),
    }
    return json_in_html(data)


def _bars(heights: list[float]) -> str:
    """Bars side by side, of heights 0 to 100, in a view of 100 by 100."""
    width = 100 / len(heights)
    return "".join(
        f'<rect x="{i * width:.3f}" y="{100 - h:.2f}" width="{width:.3f}" height="{h:.2f}"/>'
        for i, h in enumerate(heights)
    )


def _fill(template: str, **values: str) -> str:
    return Template((FOLDER / template).read_text(encoding="utf-8")).substitute(values)
