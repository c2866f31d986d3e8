"""``charlm score``: how well a trained model predicts texts."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from charlm.errors import UserError
from charlm.evaluation.baselines import Baselines, Cost
from charlm.evaluation.dynamic import DynamicEvaluation
from charlm.evaluation.networks import WINDOW, Networks, Reading, averaged, with_ngram
from charlm.evaluation.ngram import NGram
from charlm.evaluation.scoring import Score, check_protocol, encode_files, summarise
from charlm.evaluation.surprisal.page import TOP_K, page
from charlm.evaluation.surprisal.terminal import ansi as shaded
from charlm.evaluation.tables import comparison, json_lines, table, unknown_remark
from charlm.evaluation.training_text import read_part
from charlm.text.files import atomic_writer
from charlm.text.sources import STANDARD_INPUT, Source


def score(
    *texts: str,
    checkpoint: list[str],
    held_out: str | None = None,
    protocol: str = "carried",
    lanes: int = 1,
    window: int | None = None,
    dynamic: bool = False,
    segment: int | None = None,
    rate: float | None = None,
    decay: float | None = None,
    ngram: bool = False,
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
    scored as <unk> and counted.

    Args:
        texts: the files to read, - for standard input.
        checkpoint: a file that charlm fit wrote, or a folder that charlm export wrote; named
            several times, the mean of the networks' probabilities is scored. A file whose name
            ends in .ckpt needs no --checkpoint before it.
        held_out: val or test: score what was held out of the text that the model was trained on
            (or train).
        protocol: carried: the state runs through the whole text; windows: it starts from zero at
            every window, as nanoGPT and the book's English edition measure.
        lanes: with carried, cut the text into so many pieces that are read side by side. Faster,
            but each piece after the first begins with one character of context.
        window: with windows, how many characters a window predicts.
        dynamic: dynamic evaluation: the weights go on learning from each segment of the text once
            it has been predicted. The checkpoint stays as it is.
        segment: of dynamic evaluation, its characters; if left out, as stored in the checkpoint.
        rate: of dynamic evaluation, how fast it learns; if left out, as stored.
        decay: of dynamic evaluation, how fast the weights go back to the trained ones; if left
            out, as stored.
        ngram: mix with an adaptive n-gram model of the training text, by weights that are learnt as
            the text is read.
        baselines: compare with n-gram and Markov models of the training text, with compressors,
            and with the networks' other protocols.
        json: print one JSON object a text.
        html: write a page there, each character shaded by its surprisal.
        ansi: print the shaded text.
        encoding: of the texts.
        backend: how the layers are unrolled over time; doesn't change the result.
        device: where the model runs, such as cpu or cuda.
    """
    checkpoint = [*checkpoint, *(name for name in texts if name.endswith(".ckpt"))]
    texts = tuple(name for name in texts if not name.endswith(".ckpt"))
    if json and ansi:
        raise UserError("Choose one of --json and --ansi: they can't share the standard output.")
    if not texts and held_out is None:
        raise UserError("Name a text's file (- for standard input), or --held_out val or test.")
    if texts.count(STANDARD_INPUT) > 1:
        raise UserError("Standard input (-) can be read only once: name it once.")
    check_protocol(protocol, lanes, window)
    if (dynamic or ngram) and (lanes > 1 or window is not None):
        raise UserError(
            "--dynamic and --ngram learn from a text in its order: leave --lanes and --protocol "
            "windows out."
        )
    given = {"segment": segment, "rate": rate, "decay": decay}
    if not dynamic and any(value is not None for value in given.values()):
        raise UserError("segment, rate and decay are of dynamic evaluation: add --dynamic.")

    networks = Networks([Path(path) for path in checkpoint], backend, device)
    settings = networks.settings(**given) if dynamic else []
    named = [*_held_out(networks, held_out), *(_read(networks, name, encoding) for name in texts)]
    training_ids = _training_ids(networks, needed=dynamic or ngram, wanted=baselines)
    counted = None
    if training_ids is not None and (ngram or baselines):
        counted = NGram(len(networks.vocabulary), training_ids)

    # Each way of reading by its name; the last is the one that is asked for.
    members, method = networks.static(lanes, window), networks.title
    readings: dict[str, Reading] = {
        method: averaged(networks.static()),
        f"{method}, windows of {WINDOW}": averaged(networks.static(window=WINDOW)),
    }
    if window is not None:
        method = f"{networks.title}, windows of {window}"
    elif dynamic and training_ids is not None:
        members, method = networks.dynamic(settings, training_ids), f"{networks.title}, dynamic"
    readings[method] = averaged(members)
    if ngram and counted is not None:
        method = f"{method}, mixed with n-grams"
        readings[method] = with_ngram(members, counted)

    top_k = TOP_K if html else 0
    scores = [(each.name, _score(networks, each, readings[method], top_k)) for each in named]
    costs: list[dict[str, Cost]] = []
    if baselines:
        known = Baselines(networks.vocabulary, training_ids, counted)
        others = {name: reading for name, reading in readings.items() if name != method}
        costs = [
            {method: Cost(None, scored.bits_per_character)}
            | _bits(networks, each, others)
            | known.costs(scored.text)
            for each, (_, scored) in zip(named, scores, strict=True)
        ]
    if html:
        with atomic_writer(html) as file:
            file.write(page(scores, networks.vocabulary, method).encode())
    if json:
        how = {
            "method": method,
            "protocol": protocol,
            "lanes": lanes,
            "window": window,
            "dynamic": [dataclasses.asdict(each) for each in settings] or None,
            "ngram": ngram,
        }
        for line in json_lines(scores, how, costs):
            print(line)
        return
    print(table(scores))
    for line in unknown_remark(scores, networks.vocabulary) + _remarks(lanes, window, settings):
        print(line)
    for (name, _), costs_of_text in zip(scores, costs, strict=False):
        print(f"\n{comparison(name, costs_of_text)}")
    if ansi:
        for name, scored in scores:
            print(f"\n{name}\n{shaded(scored)}")


def _remarks(lanes: int, window: int | None, settings: Sequence[DynamicEvaluation]) -> list[str]:
    """Sentences on how the texts were read."""
    remarks = []
    if window is not None:
        remarks.append(f"The state was zeroed every {window:,} characters.")
    elif lanes > 1:
        remarks.append(
            f"Read in {lanes} lanes: all but the first began with one character of context."
        )
    for each in dict.fromkeys(settings):
        remarks.append(
            f"Dynamic evaluation: segments of {each.segment}, rate {each.rate:g}, decay "
            f"{each.decay:g}; each segment was learnt after it was predicted."
        )
    return remarks


class Text(NamedTuple):
    """A text to score, normalised, with its marks; its ids, [N]."""

    name: str
    text: str
    ids: np.ndarray


def _read(networks: Networks, name: str, encoding: str) -> Text:
    # What can't be read is told with the file's own name.
    files = [[*pieces] for pieces in Source(name).texts(encoding, option="--encoding")]
    try:
        return Text(name, *encode_files(networks.vocabulary, files))
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def _held_out(networks: Networks, part: str | None) -> list[Text]:
    if part is None:
        return []
    read = read_part(networks.data(), part)
    ids = read.ids
    if read.vocabulary != networks.vocabulary:
        ids = networks.vocabulary.encode(read.text)
    return [Text(f"{read.name}, {part}", read.text, ids)]


def _score(networks: Networks, text: Text, reading: Reading, top_k: int) -> Score:
    mark_id = networks.vocabulary.mark_id
    try:
        return summarise(text.text, text.ids, reading(text.ids), top_k, mark_id)
    except UserError as error:
        raise UserError(f"{text.name}: {error}") from error


def _bits(networks: Networks, text: Text, readings: dict[str, Reading]) -> dict[str, Cost]:
    """What a text costs by each of the readings."""
    return {
        name: Cost(None, _score(networks, text, reading, 0).bits_per_character)
        for name, reading in readings.items()
    }


def _training_ids(networks: Networks, needed: bool, wanted: bool) -> np.ndarray | None:
    """The training text's ids; None where it is only wanted and can't be had, or not even that."""
    if not needed and not wanted:
        return None
    try:
        read = read_part(networks.data())
    except UserError as error:
        if needed:
            raise UserError(f"{error} --dynamic and --ngram can't do without it.") from error
        print(f"charlm: {error} Only the compressors are compared.", file=sys.stderr)
        return None
    # A model that went on from another text has kept that one's symbols.
    same = read.vocabulary == networks.vocabulary
    return read.ids if same else networks.vocabulary.encode(read.text)
