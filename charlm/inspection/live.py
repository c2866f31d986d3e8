"""What a served model does at each character that it reads or writes, as its page is told it.

H units of a layer · V vocabulary
"""

import base64
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from charlm.checkpoint import Trained
from charlm.errors import UserError
from charlm.generation.context import Context, begin, check_prefix
from charlm.generation.sampling import SamplingOptions, log_probabilities
from charlm.text.visible import in_running_text, visible, visible_name

MAX_PREFIX = 5_000  # characters
MAX_CHARACTERS = 2_000
NUM_ALTERNATIVES = 8


class Model(NamedTuple):
    """A checkpoint that is served: what to call it, and what it holds."""

    name: str
    trained: Trained


class Request(NamedTuple):
    """What a page asks for, checked.

    Raises (``of``):
        UserError: something is missing, of another type, or out of its bounds.
    """

    model: int
    prefix: str
    num_characters: int
    seed: int | None
    sampling: SamplingOptions

    @classmethod
    def of(cls, body: Any, num_models: int) -> "Request":
        if not isinstance(body, dict):
            raise UserError("The request isn't a JSON object.")
        model, prefix = body.get("model", 0), body.get("prefix", "")
        number, seed = body.get("num_characters", 200), body.get("seed")
        if not (_is_int(model) and 0 <= model < num_models):
            raise UserError(f"There is no model {model!r}: there are {num_models}.")
        if not isinstance(prefix, str) or len(prefix) > MAX_PREFIX:
            raise UserError(f"The prefix must be a text of at most {MAX_PREFIX:,} characters.")
        if not (_is_int(number) and 0 <= number <= MAX_CHARACTERS):
            raise UserError(f"num_characters must be between 0 and {MAX_CHARACTERS:,}.")
        if seed is not None and not _is_int(seed):
            raise UserError("seed must be a whole number.")
        temperature, top_k = body.get("temperature", 0.0), body.get("top_k")
        if not isinstance(temperature, int | float) or isinstance(temperature, bool):
            raise UserError("temperature must be a number.")
        if top_k is not None and not _is_int(top_k):
            raise UserError("top_k must be a whole number.")
        # Without a temperature nothing is drawn, and there is nothing to choose from.
        sampling = SamplingOptions(float(temperature), top_k=top_k if temperature else None)
        return cls(model, prefix, number, seed, sampling)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def events(models: Sequence[Model], request: Request) -> Iterator[dict[str, Any]]:
    """What happens at each character of the prefix, then of the continuation.

    A document's continuation ends with the document.

    Yields:
        Objects with ``c``, the character as it is shown; ``new``, whether the model wrote it;
        ``bits``, its surprisal; ``p``, the likeliest characters after it with their percentages;
        ``u``, the units of every part of the state, as signed bytes in base64.

    Raises:
        UserError: the prefix has characters that the model has never seen, or the model's
            predictions aren't finite numbers.
    """
    model, vocabulary = models[request.model].trained
    text = check_prefix(vocabulary, request.prefix) if request.prefix else ""
    context = begin(model, vocabulary)
    for id_ in map(int, vocabulary.encode(text)):
        log_p_V = _next(context)
        context = context.read_ids([id_])
        yield _event(context, id_, log_p_V[id_], new=False)
    continuation = context.stream(request.seed, request.sampling)
    for _ in range(request.num_characters):
        log_p_V = _next(continuation.context)
        id_ = vocabulary.symbols.index(next(continuation))
        if id_ == vocabulary.mark_id:
            return
        yield _event(continuation.context, id_, log_p_V[id_], new=True)


def _next(context: Context) -> np.ndarray:
    """log p [V] of each character that may follow."""
    log_p_V: np.ndarray = log_probabilities(context.stepper.logits(context.state))[0]
    return log_p_V


def _event(context: Context, id_: int, log_p: float, new: bool) -> dict[str, Any]:
    log_p_V = _next(context)
    likeliest = np.argsort(-log_p_V, kind="stable")[:NUM_ALTERNATIVES]
    symbols = context.vocabulary.symbols
    character = symbols[id_]
    return {
        "c": in_running_text(character),
        "new": new,
        "bits": round(-log_p / np.log(2), 3),
        "p": [[visible(symbols[i]), round(100 * float(np.exp(log_p_V[i])), 2)] for i in likeliest],
        "u": [base64.b64encode(_as_bytes(part)).decode() for part in _parts(context)],
    }


def _parts(context: Context) -> list[np.ndarray]:
    # A state is of NumPy's arrays on a CPU, else of the device's tensors.
    return [
        torch.as_tensor(part)[0].cpu().numpy()
        for cell_state in context.state
        for part in cell_state
    ]


def _as_bytes(units_H: np.ndarray) -> bytes:
    """A memory may grow beyond 1: squashed, as the cell itself does before it is used."""
    return np.rint(127 * np.tanh(units_H)).astype(np.int8).tobytes()


def about(models: Sequence[Model]) -> list[dict[str, Any]]:
    """What the page is told of each model."""
    return [
        {
            "name": visible_name(name),
            "parts": [
                {"name": f"layer{number}.{part}", "size": cell.hidden_size}
                for number, cell in enumerate(trained.model.cells, start=1)
                for part in cell.state_names
            ],
        }
        for name, trained in models
    ]
