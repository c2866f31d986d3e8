"""``charlm score``: how well a trained model predicts texts."""

import json as json_module
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from charlm.checkpoint import contents, load
from charlm.errors import UserError
from charlm.evaluation.baselines import Baselines, Cost
from charlm.evaluation.scoring import Score
from charlm.evaluation.scoring import score as score_text
from charlm.evaluation.surprisal.page import TOP_K, page
from charlm.evaluation.surprisal.terminal import ansi as shaded
from charlm.evaluation.training_text import training_ids
from charlm.model import CharLM
from charlm.text.files import atomic_writer, decode_stream, read_text
from charlm.text.vocabulary import Vocabulary

STANDARD_INPUT = "-"


def score(
    *texts: str,
    checkpoint: Path,
    protocol: str = "carried",
    lanes: int = 1,
    window: int | None = None,
    baselines: bool = False,
    json: bool = False,
    html: Path | None = None,
    ansi: bool = False,
    encoding: str = "utf-8",
    backend: str = "auto",
    device: str = "cpu",
) -> None:
    """Measure how well a trained model predicts texts: nats, bits per character, perplexity.

    Each text is normalised as the training text was, and every character of it is scored exactly
    once, the first one from the untouched state. A character that the model doesn't know is
    scored as <unk> and counted. Name the texts by their files, "-" for standard input.

    Args:
        checkpoint: a file that charlm fit wrote, or a folder that charlm export wrote.
        protocol: carried: the state runs through the whole text; windows: it starts from zero at
            every window, as nanoGPT and the book's English edition measure.
        lanes: with carried, cut the text into so many pieces that are read side by side. Faster,
            but each piece after the first begins with one character of context.
        window: with windows, how many characters a window predicts.
        baselines: compare with Markov models of the training text and with compressors.
        json: print one JSON object a text.
        html: write a page there, each character shaded by its surprisal.
        ansi: print the shaded text.
        encoding: of the texts.
        backend: how the layers are unrolled over time; doesn't change the result.
        device: where the model runs, such as cpu or cuda.
    """
    if json and ansi:
        raise UserError("Choose one of --json and --ansi: they can't share the standard output.")
    if texts.count(STANDARD_INPUT) > 1:
        raise UserError("Standard input (-) can be read only once: name it once.")
    model, vocabulary = load(checkpoint, device)
    model.backend = backend
    top_k = TOP_K if html else 0
    scores = [
        (name, _score(model, vocabulary, name, encoding, protocol, lanes, window, top_k))
        for name in map(str, texts)
    ]
    costs = _costs(checkpoint, vocabulary, scores) if baselines else [{}] * len(scores)
    cells = " + ".join(f"{type(cell).__name__} {cell.hidden_size}" for cell in model.cells)
    title = f"{cells} ({checkpoint.name})"
    if html:
        with atomic_writer(html) as file:
            file.write(page(scores, vocabulary, title).encode())
    if json:
        how = {"protocol": protocol, "lanes": lanes, "window": window}
        for (name, scored), costs_of_text in zip(scores, costs, strict=True):
            print(json_module.dumps(_as_json(name, scored, costs_of_text) | how))
        return
    print(_table(scores))
    for line in _remarks(scores, vocabulary, lanes, window):
        print(line)
    for (name, scored), costs_of_text in zip(scores, costs, strict=True):
        if costs_of_text:
            print(
                f"\n{_comparison(name, {title: Cost(None, scored.bits_per_character)} | costs_of_text)}"
            )
    if ansi:
        for name, scored in scores:
            print(f"\n{name}\n{shaded(scored)}")


def _score(model: CharLM, vocabulary: Vocabulary, name: str, encoding: str, *options: Any) -> Score:
    if name == STANDARD_INPUT:
        stream = sys.stdin.buffer
        text = "".join(decode_stream(stream, "standard input", encoding, option="--encoding"))
    else:
        text = read_text(name, encoding, option="--encoding")
    try:
        return score_text(model, vocabulary, text, *options)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def _costs(
    checkpoint: Path, vocabulary: Vocabulary, scores: list[tuple[str, Score]]
) -> list[dict[str, Cost]]:
    try:
        ids = training_ids(contents(checkpoint).get("datamodule_hyper_parameters"))
    except UserError as error:
        print(f"charlm: {error} Only the compressors are compared.", file=sys.stderr)
        ids = None
    baselines = Baselines(vocabulary, ids)
    return [baselines.costs(scored.text) for _, scored in scores]


def _as_json(name: str, scored: Score, costs: dict[str, Cost]) -> dict[str, Any]:
    finite = scored.perplexity < float("inf")
    as_json: dict[str, Any] = {
        "name": name,
        "characters": len(scored.text),
        "unknown": scored.num_unknown,
        "nats": scored.nats,
        "nats_per_character": scored.nats_per_character,
        "bits_per_character": scored.bits_per_character,
        "perplexity": scored.perplexity if finite else None,
    }
    if costs:
        as_json["baselines"] = {baseline: cost._asdict() for baseline, cost in costs.items()}
    return as_json


def _table(scores: list[tuple[str, Score]]) -> str:
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


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def _remarks(
    scores: list[tuple[str, Score]], vocabulary: Vocabulary, lanes: int, window: int | None
) -> list[str]:
    remarks = []
    unknown: dict[str, None] = {}
    for _, scored in scores:
        unknown |= dict.fromkeys(vocabulary.unknown_characters(scored.text))
    if unknown:
        some = " ".join(repr(character) for character in list(unknown)[:10])
        more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
        remarks.append(f"Unknown to the model, and scored as <unk>: {some}{more}.")
    if window is not None:
        remarks.append(f"The state was zeroed every {window:,} characters.")
    elif lanes > 1:
        remarks.append(
            f"Read in {lanes} lanes: all but the first began with one character of context."
        )
    return remarks


def _comparison(name: str, costs: dict[str, Cost]) -> str:
    """A table of costs, the best first."""

    def rank(entry: tuple[str, Cost]) -> float:
        alone, after = entry[1]
        cost = alone if after is None else after
        assert cost is not None
        return cost

    rows = [(f"{name}, in bits per character", "alone", "after the training text")]
    for baseline, cost in sorted(costs.items(), key=rank):
        alone, after = ("-" if bits is None else f"{bits:.4f}" for bits in cost)
        rows.append((baseline, alone, after))
    return _aligned(rows)
