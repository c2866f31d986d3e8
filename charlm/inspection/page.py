"""The page of ``charlm inspect``: a text coloured by what any unit does, in one file.

    N characters · H units · K alternatives a character · T steps back

Everything is in the file: the values as bytes, compressed, that the browser unpacks. What would
make it too large is left out, and the page says so: units beyond those that follow a feature best
or vary most, characters beyond the first ``MAX_CHARACTERS``.
"""

import base64
import gzip
import html
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from string import Template

import numpy as np

from charlm.evaluation.scoring import Score
from charlm.inspection.features import Ranking
from charlm.pages.common import json_in_html, with_common
from charlm.text.visible import in_running_text, visible, visible_name
from charlm.text.vocabulary import Vocabulary

ASSETS = Path(__file__).parent / "assets"
MAX_CHARACTERS = 20_000
# Bytes; as base64, where nothing can be compressed, 4 of the 5 MB that the page may have.
MAX_VALUES = 3_000_000


def page(
    name: str,
    model: str,
    vocabulary: Vocabulary,
    score: Score,
    parts: dict[str, np.ndarray],
    rankings: dict[str, Ranking],
    shares: np.ndarray,
    num_characters: int,
) -> str:
    """The page, whole.

    Args:
        name: of the text.
        model: what to call the model.
        vocabulary: the model's.
        score: of the characters shown, with the K likeliest symbols at each place.
        parts: of the recording over them, [N, H] each.
        rankings: the units that follow each feature.
        shares: of the characters before in each character's gradient, [places, T].
        num_characters: of the whole text, of which the first N are shown.
    """
    name, model = visible_name(name), visible_name(model)
    chosen = choose_units(parts, rankings, MAX_VALUES // len(score.text))
    values = {part: quantise(parts[part][:, units]) for part, units in chosen.items() if units}
    data = {
        "symbols": [visible(symbol) for symbol in vocabulary.symbols],
        "ids": vocabulary.encode(score.text).tolist(),
        "millibits": np.rint(1000 * score.nats_N / np.log(2)).astype(int).tolist(),
        "likeliest": score.top_ids_NK.tolist(),
        "percents": np.round(100 * score.top_probabilities_NK, 2).tolist(),
        "parts": [
            {"name": part, "units": chosen[part], "size": parts[part].shape[1], "scales": scales}
            for part, (_, scales) in values.items()
        ],
        "features": {name: asdict(ranking) for name, ranking in rankings.items()},
        "reach": {"places": shares.shape[0], "steps": shares.shape[1]},
    }
    numbers = b"".join(bytes_NU.tobytes() for bytes_NU, _ in values.values())
    numbers += np.rint(255 * shares).astype(np.uint8).tobytes()
    num_units = sum(units.shape[1] for units in parts.values())
    num_chosen = sum(map(len, chosen.values()))
    left_out = []
    if len(score.text) < num_characters:
        left_out.append(f"the first {len(score.text):,} of {num_characters:,} characters")
    if num_chosen < num_units:
        left_out.append(
            f"{num_chosen:,} of {num_units:,} units: those that follow a feature best, and those "
            "that vary most"
        )
    if shares.shape[0] < len(score.text):
        left_out.append(f"gradients for the first {shares.shape[0]:,} characters")
    template = Template((ASSETS / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=html.escape(f"{name} inside {model}"),
        text_name=html.escape(name),
        model=html.escape(model),
        shown=html.escape("Shown: " + "; ".join(left_out) + "." if left_out else ""),
        style=with_common(ASSETS / "page.css"),
        script=with_common(ASSETS / "page.js"),
        text=json_in_html([in_running_text(character) for character in score.text]),
        data=json_in_html(data),
        numbers=base64.b64encode(gzip.compress(numbers, 9, mtime=0)).decode(),
    )


def choose_units(
    parts: dict[str, np.ndarray], rankings: dict[str, Ranking], number: int
) -> dict[str, list[int]]:
    """Which units of each part to show, ``number`` in all: those ranked, then the most varied."""
    number = max(1, number)
    ranked = list(
        dict.fromkeys(
            (match.part, match.unit) for ranking in rankings.values() for match in ranking.matches
        )
    )[:number]
    chosen = {part: [unit for p, unit in ranked if p == part] for part in parts}
    spread = {
        part: units_NH.std(axis=0) / max(float(np.abs(units_NH).max()), 1e-12)
        for part, units_NH in parts.items()
    }
    # By turns, so that every part is shown.
    orders = {part: [int(u) for u in np.argsort(-spread[part], kind="stable")] for part in parts}
    left = number - len(ranked)
    longest = max(map(len, orders.values()))
    for turn in range(longest):
        for part, order in orders.items():
            if left and turn < len(order) and order[turn] not in chosen[part]:
                chosen[part].append(order[turn])
                left -= 1
    return {part: sorted(units) for part, units in chosen.items()}


def quantise(values_NU: np.ndarray) -> tuple[np.ndarray, Sequence[float]]:
    """Values as signed bytes, and what a byte's 127 stands for, one number a unit."""
    scales_U = np.maximum(np.abs(values_NU).max(axis=0), 1e-12)
    bytes_NU = np.rint(values_NU / scales_U * 127).astype(np.int8)
    # Unit by unit: what the page colours at a time, and what compresses well.
    return np.ascontiguousarray(bytes_NU.T), [float(f"{scale:.4g}") for scale in scales_U]
