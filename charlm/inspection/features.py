"""Simple things that can be said of each place in a text, to find units that follow them.

    N characters · H units

A feature is computed from the text alone, up to and including its character: what a unit could
know. A unit is ranked by its correlation with the feature over the first half of the text; beside
it stands the correlation over the second half, which chose nothing, and what luck alone reaches.
"""

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

STRAIGHT_QUOTES = '"'


def _since(text: str, begins: Callable[[str], bool]) -> np.ndarray:
    """How many characters ago the last one was for which ``begins`` holds."""
    counts, count = np.empty(len(text)), 0
    for place, character in enumerate(text):
        count = 0 if begins(character) else count + 1
        counts[place] = count
    return counts


def _each(text: str, holds: Callable[[str], bool]) -> np.ndarray:
    return np.fromiter(map(holds, text), dtype=float, count=len(text))


def _inside_quotes(text: str) -> np.ndarray:
    inside, values = False, np.empty(len(text))
    for place, character in enumerate(text):
        if character in STRAIGHT_QUOTES:
            inside = not inside
        elif character in "“„«":
            inside = True
        elif character in "”»":
            inside = False
        values[place] = inside
    return values


def _inside_brackets(text: str) -> np.ndarray:
    depth, values = 0, np.empty(len(text))
    for place, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth = max(0, depth - 1)
        values[place] = depth > 0
    return values


FEATURES: dict[str, Callable[[str], np.ndarray]] = {
    "inside quotes": _inside_quotes,
    "inside brackets": _inside_brackets,
    "on spaces": lambda text: _each(text, str.isspace),
    "on punctuation": lambda text: _each(text, lambda c: unicodedata.category(c)[0] == "P"),
    "on capital letters": lambda text: _each(text, str.isupper),
    "on digits": lambda text: _each(text, str.isdigit),
    "on vowels": lambda text: _each(text, lambda c: c.lower() in "aeiouáàâäéèêëíîïóôöúùûü"),
    "along the word": lambda text: _since(text, lambda c: not c.isalnum()),
    "along the sentence": lambda text: _since(text, lambda c: c in ".!?。！？"),
    "along the line": lambda text: _since(text, lambda c: c == "\n"),
    "along the text": lambda text: np.arange(len(text), dtype=float),
}


@dataclass(frozen=True)
class Match:
    """A unit that follows a feature.

    Args:
        part: of the recording.
        unit: which one of the part's.
        chosen: the correlation over the first half, by which it was found.
        held_out: over the second half.
    """

    part: str
    unit: int
    chosen: float
    held_out: float


@dataclass(frozen=True)
class Ranking:
    """The units that follow a feature best, the best first, and what luck reaches.

    Args:
        luck: the highest correlation, without its sign, over the first half of any unit with the
            feature moved along the text by a third of that half.
    """

    matches: list[Match]
    luck: float


def features_of(text: str) -> dict[str, np.ndarray]:
    """The features [N] that vary in both halves of a text; a constant one can't be followed."""
    half = len(text) // 2
    found = {name: compute(text) for name, compute in FEATURES.items()}
    return {
        name: values_N
        for name, values_N in found.items()
        if half > 2 and values_N[:half].std() > 0 and values_N[half:].std() > 0
    }


def correlations(units_NH: np.ndarray, values_N: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each unit with a feature, [H]; 0 for a unit that never changes."""
    centred_NH = units_NH - units_NH.mean(axis=0, dtype=np.float64)
    centred_N = values_N - values_N.mean()
    norms_H = np.sqrt((centred_NH**2).sum(axis=0) * (centred_N**2).sum())
    products_H = centred_N @ centred_NH
    return np.divide(products_H, norms_H, out=np.zeros_like(products_H), where=norms_H > 1e-9)


def rank(parts: dict[str, np.ndarray], values_N: np.ndarray, num_matches: int = 8) -> Ranking:
    """Find the units that follow a feature.

    Args:
        parts: of a ``Recording``, [N, H] each.
        values_N: the feature.
        num_matches: how many units to name, at the most.
    """
    half = len(values_N) // 2
    moved_N = np.roll(values_N[:half], half // 3)
    matches, luck = [], 0.0
    for part, units_NH in parts.items():
        chosen_H = correlations(units_NH[:half], values_N[:half])
        held_out_H = correlations(units_NH[half:], values_N[half:])
        luck = max(luck, float(np.abs(correlations(units_NH[:half], moved_N)).max()))
        for unit in _highest(np.abs(chosen_H), num_matches):
            matches.append(Match(part, unit, float(chosen_H[unit]), float(held_out_H[unit])))
    matches.sort(key=lambda match: -abs(match.chosen))
    return Ranking(matches[:num_matches], luck)


def _highest(values_H: np.ndarray, number: int) -> Iterable[int]:
    return (int(unit) for unit in np.argsort(-values_H, kind="stable")[:number])
