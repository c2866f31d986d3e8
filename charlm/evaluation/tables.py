"""Scores and costs as tables of text, and as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from charlm.evaluation.baselines import Cost
from charlm.evaluation.scoring import Score
from charlm.text.vocabulary import Vocabulary


def json_lines(
    scores: Sequence[tuple[str, Score]], how: Mapping[str, Any], costs: Sequence[Mapping[str, Cost]]
) -> list[str]:
    """One JSON object a text.

    Args:
        how: what each says of how the text was read.
        costs: what it is compared with; empty for nothing.
    """
    lines = []
    for i, (name, score) in enumerate(scores):
        finite = score.perplexity < float("inf")
        of_text: dict[str, Any] = {
            "name": name,
            "characters": len(score.text),
            "unknown": score.num_unknown,
            "nats": score.nats,
            "nats_per_character": score.nats_per_character,
            "bits_per_character": score.bits_per_character,
            "perplexity": score.perplexity if finite else None,
            **how,
        }
        if costs:
            of_text["baselines"] = {key: cost._asdict() for key, cost in costs[i].items()}
        lines.append(json.dumps(of_text))
    return lines


def table(scores: Sequence[tuple[str, Score]]) -> str:
    """A row a text."""
    rows = [("text", "characters", "unknown", "nats", "bits per character", "perplexity")]
    for name, scored in scores:
        rows.append(
            (
                name,
                f"{len(scored.text):,}",
                f"{scored.num_unknown:,}",
                f"{scored.nats:,.1f}",
                f"{scored.bits_per_character:.4f}",
                f"{scored.perplexity:,.4f}",
            )
        )
    return _aligned(rows)


def comparison(name: str, costs: Mapping[str, Cost]) -> str:
    """A row a model or compressor, the best first."""

    def rank(entry: tuple[str, Cost]) -> float:
        alone, after = entry[1]
        cost = alone if after is None else after
        assert cost is not None
        return cost

    rows = [(f"{name}, in bits per character", "alone", "after the training text")]
    for method, cost in sorted(costs.items(), key=rank):
        alone, after = ("-" if bits is None else f"{bits:.4f}" for bits in cost)
        rows.append((method, alone, after))
    return _aligned(rows)


def unknown_remark(scores: Sequence[tuple[str, Score]], vocabulary: Vocabulary) -> list[str]:
    """A sentence that names the characters that the vocabulary lacks, if there are any."""
    unknown: dict[str, None] = {}
    for _, scored in scores:
        unknown |= dict.fromkeys(vocabulary.unknown_characters(scored.text))
    if not unknown:
        return []
    some = " ".join(repr(character) for character in list(unknown)[:10])
    more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
    return [f"Unknown to the model, and scored as <unk>: {some}{more}."]


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )
