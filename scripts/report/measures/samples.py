"""What a trained model writes, and what it does with its distribution meanwhile."""

import re
from collections.abc import Iterable
from typing import Any

import torch

from charlm.generation.generate import generate
from charlm.text.corpora import read_corpus
from charlm.text.encoding import encode_corpus
from charlm.text.normalisation import normalise
from scripts.report.measures.trained import NUM_TRAINED, models

PREFIX = "time traveller"
N = 8  # characters of an n-gram: a word and what stands around it


def continuations(runs: list[dict[str, Any]], prefix: str, num_chars: int) -> dict[str, Any]:
    """The first run's greedy continuation of a prefix."""
    trained = models(runs)
    return {"text": generate(*trained[0], prefix, num_chars) if trained else None}


def sharpened(
    runs: list[dict[str, Any]], exponents: list[float | None], num_chars: int
) -> dict[str, Any]:
    """Texts drawn from p^α, renormalised; an exponent of None is the likeliest character.

    Returns:
        By exponent (as a string), a value for each model: ``repeated``, the share of the
        text's 8-grams that stood in it before; ``copied``, of those that stand in the training
        text; ``words``, the share of its words that stand in the novel; ``entropy`` of the
        distribution drawn from, in nats; and ``text``, the first model's beginning.
    """
    known = set(normalise(read_corpus("time-machine"), "letters").split())
    novel = encode_corpus("time-machine", None, "book", NUM_TRAINED)
    trained_on = set(grams(novel.vocabulary.decode(int(i) for i in novel.ids)))
    result: dict[str, Any] = {}
    for exponent in exponents:
        figures: dict[str, list[float]] = {"repeated": [], "copied": [], "words": [], "entropy": []}
        text = ""
        for seed, (model, vocabulary) in enumerate(models(runs)):
            temperature = 0.0 if exponent is None else 1 / exponent
            drawn = generate(model, vocabulary, PREFIX, num_chars, temperature, seed)
            text = text or drawn[:120]
            written = drawn[len(PREFIX) :]
            all_grams = grams(written)
            figures["repeated"].append(1 - len(set(all_grams)) / len(all_grams))
            figures["copied"].append(mean(gram in trained_on for gram in all_grams))
            # The first and the last may be cut.
            words = re.split(" +", written)[1:-1]
            figures["words"].append(mean(word in known for word in words))
            ids = torch.tensor([int(i) for i in vocabulary.encode(drawn)]).unsqueeze(1)
            with torch.inference_mode():
                logits_TV = model(ids)[0][len(PREFIX) - 1 : -1, 0]
            if exponent is None:
                figures["entropy"].append(0.0)
            else:
                p = torch.softmax(exponent * logits_TV.double(), dim=1)
                figures["entropy"].append(float(torch.special.entr(p).sum(dim=1).mean()))
        result[str(exponent)] = {**figures, "text": text}
    return result


def grams(text: str) -> list[str]:
    return [text[start : start + N] for start in range(len(text) - N + 1)]


def mean(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else 0.0
