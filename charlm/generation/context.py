"""What a model has read of a text: kept, branched, saved, and continued."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch

from charlm.errors import UserError
from charlm.generation.sampling import RandomNumbers, SamplingOptions
from charlm.generation.step import Stepper, StepperState
from charlm.model import CharLM
from charlm.text.files import atomic_writer, read_bytes
from charlm.text.vocabulary import Vocabulary

FORMAT = "charlm context 1"


def check_prefix(vocabulary: Vocabulary, prefix: str) -> str:
    """The normalised prefix; of a document it may be empty: it then begins with its first character.

    Raises:
        UserError: nothing is left of it, or it has characters that the vocabulary lacks.
    """
    normalised = vocabulary.normalise(prefix)
    if not normalised and vocabulary.mark is None:
        raise UserError(
            f"The prefix {prefix!r} is empty once it is normalised ({vocabulary.normalisation}): "
            "give at least one character for the model to start from."
        )
    _check_known(vocabulary, normalised, "The prefix", "leave them out")
    return normalised


def encode_stop(vocabulary: Vocabulary, stop: str | None) -> list[int]:
    """The ids of the string at which a text ends; none of no string.

    Raises:
        UserError: it is empty, or has characters that the vocabulary lacks.
    """
    if stop is None:
        return []
    if not stop:
        raise UserError("The stop string is empty: give at least one character, or leave it out.")
    _check_known(vocabulary, stop, "The stop string", "it would never be reached")
    return [int(id_) for id_ in vocabulary.encode(stop)]


def _check_known(vocabulary: Vocabulary, text: str, what: str, so: str) -> None:
    unknown = vocabulary.unknown_characters(text)
    if unknown:
        listed = " ".join(repr(character) for character in unknown)
        raise UserError(f"{what} has characters that the model has never seen: {listed}; {so}.")


def check_num_chars(num_chars: int) -> None:
    """Raise a UserError for a negative number of characters."""
    if num_chars < 0:
        raise UserError(f"num_chars is {num_chars}: it can't be negative.")


class Context:
    """What a model has read so far. It never changes, so that it can be continued in many ways.

    Made by ``read``. With a model that always says b after a, and a after b:

    >>> import charlm, torch
    >>> vocabulary = charlm.Vocabulary("ab")
    >>> model = charlm.CharLM(len(vocabulary), hidden_sizes=[4])
    >>> with torch.no_grad():
    ...     for parameter in model.parameters():
    ...         _ = parameter.zero_()
    ...     model.layers[0].weight_ih[0] = torch.tensor([0.0, 1.0, -1.0])
    ...     model.output.weight[:, 0] = torch.tensor([0.0, -1.0, 1.0])
    >>> context = charlm.read(model, vocabulary, "ab")
    >>> context.generate(5)
    'ababa'
    >>> context.read("a").generate(5)
    'babab'
    >>> [context.generate(5, temperature=2.0, seed=seed) for seed in (1, 2)]
    ['abaab', 'abbab']

    Args:
        stepper: the model, ready to step.
        vocabulary: the model's.
        state: after what was read, of one lane.
        model: whose the stepper is.
    """

    def __init__(
        self, stepper: Stepper, vocabulary: Vocabulary, state: StepperState, model: CharLM
    ) -> None:
        self.stepper, self.vocabulary, self.state, self._model = stepper, vocabulary, state, model

    def read(self, text: str) -> "Context":
        """The context after some more text.

        Raises:
            UserError: see ``check_prefix``.
        """
        return self.read_ids(
            [int(id_) for id_ in self.vocabulary.encode(check_prefix(self.vocabulary, text))]
        )

    def anew(self, text: str) -> "Context":
        """The context of another text, of the same model.

        Raises:
            UserError: see ``check_prefix``.
        """
        return self._begun().read(text)

    def _begun(self) -> "Context":
        """At the start of a text; of a document, after the mark before it."""
        start = self.stepper.initial_state(1)
        context = Context(self.stepper, self.vocabulary, start, self._model)
        mark_id = self.vocabulary.mark_id
        return context if mark_id is None else context.read_ids([mark_id])

    def read_ids(self, ids: list[int]) -> "Context":
        """The context after the characters with these ids; with a mark, a document begins."""
        state, mark_id = self.state, self.vocabulary.mark_id
        if mark_id in ids:
            # Nothing before the last mark is felt after it.
            ids = ids[len(ids) - 1 - ids[::-1].index(mark_id) :]
            state = self.stepper.initial_state(1)
        state = self.stepper.read(ids, state)
        return Context(self.stepper, self.vocabulary, state, self._model)

    def stream(
        self, seed: int | None = None, sampling: SamplingOptions | None = None, **options: Any
    ) -> "Continuation":
        """The characters that follow, one at a time, without end.

        Args:
            seed: of the draws; none: other ones each time.
            sampling: how they are chosen, or
            **options: of ``charlm.generation.sampling.SamplingOptions``: temperature and so on.

        Raises:
            UserError: see ``SamplingOptions`` and ``RandomNumbers``.
        """
        return Continuation(self, sampling or SamplingOptions(**options), seed)

    def generate(
        self, num_chars: int, seed: int | None = None, stop: str | None = None, **options: Any
    ) -> str:
        """The ``num_chars`` characters that follow, or fewer where they come to ``stop``.

        Raises:
            UserError: see ``stream``; a negative number; see ``encode_stop``.
        """
        return "".join(self.stream(seed, **options).until(num_chars, stop))

    def save(self, path: str | Path) -> None:
        """Write the context, without the model, for ``restore``.

        Raises:
            UserError: the file can't be written.
        """
        tensors = {
            f"{layer}.{part}": np.ascontiguousarray(torch.as_tensor(value).cpu().numpy())
            for layer, cell_state in enumerate(self.state)
            for part, value in enumerate(cell_state)
        }
        about = {"format": FORMAT, "model": _digest(self._model, self.vocabulary)}
        with atomic_writer(Path(path)) as file:
            file.write(safetensors.numpy.save(tensors, about))


def read(model: CharLM, vocabulary: Vocabulary, prefix: str, weights: str = "float32") -> Context:
    """The context after a prefix, which is normalised first.

    Args:
        weights: float16 and bfloat16 read half as many bytes a character, int8 a quarter
            (``charlm.generation.step.Stepper``).

    Raises:
        UserError: see ``check_prefix`` and ``Stepper``.
    """
    return begin(model, vocabulary, weights).read(prefix)


def restore(path: str | Path, model: CharLM, vocabulary: Vocabulary) -> Context:
    """The context that ``Context.save`` wrote, for the model that had read it.

    Raises:
        UserError: the file can't be read, or is of another model.
    """
    content = read_bytes(path)
    try:
        tensors = safetensors.numpy.load(content)
        length = int.from_bytes(content[:8], "little")
        about = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (safetensors.SafetensorError, ValueError) as error:
        raise UserError(f"{path} can't be read as a context ({error}): it is damaged.") from error
    if about.get("format") != FORMAT:
        raise UserError(f"{path} is no context: name a file that Context.save wrote.")
    if about["model"] != _digest(model, vocabulary):
        raise UserError(f"{path} is of another model, or of other weights: load those first.")
    context = begin(model, vocabulary)
    context.state = tuple(
        tuple(
            context.stepper.from_numpy(tensors[f"{layer}.{part}"].copy())
            for part in range(len(cell_state))
        )
        for layer, cell_state in enumerate(context.state)
    )
    return context


def begin(model: CharLM, vocabulary: Vocabulary, weights: str = "float32") -> Context:
    """The context at a text's start, before anything was read but the mark before a document."""
    stepper = Stepper(model, weights)
    return Context(stepper, vocabulary, stepper.initial_state(1), model)._begun()


def _digest(model: CharLM, vocabulary: Vocabulary) -> str:
    digest = hashlib.sha256(json.dumps([vocabulary.config, repr(model)]).encode())
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.cpu().double().numpy().tobytes())
    return digest.hexdigest()


class Continuation(Iterator[str]):
    """The characters that follow a context, one at a time; in constant memory, without end.

    Args:
        context: what was read before.
        sampling: how the characters are chosen.
        seed: of the draws.

    Raises:
        UserError: see ``RandomNumbers``.
    """

    def __init__(self, context: Context, sampling: SamplingOptions, seed: int | None) -> None:
        self._context, self._sampling = context, sampling
        self._numbers = [RandomNumbers(seed)]
        # What was chosen last, and isn't read yet.
        self._unread: list[int] = []

    @property
    def context(self) -> Context:
        """After what was read before, and every character so far."""
        if self._unread:
            self._context = self._context.read_ids(self._unread)
            self._unread = []
        return self._context

    def __next__(self) -> str:
        """The next character.

        Raises:
            UserError: the model's predictions aren't finite numbers.
        """
        stepper, state = self._context.stepper, self._context.state
        if self._unread:
            state = self.context.state
        id_ = int(self._sampling.choose(stepper.logits(state), self._numbers)[0])
        self._unread = [id_]
        return self._context.vocabulary.symbols[id_]

    def until(self, num_chars: int, stop: str | None = None) -> Iterator[str]:
        """The next characters, ``num_chars`` at most, to the end of the first ``stop`` in them, or
        to the document's end; its mark isn't one of them.

        Raises:
            UserError: a negative number, or see ``encode_stop``; at once, not on the way.
        """
        check_num_chars(num_chars)
        encode_stop(self._context.vocabulary, stop)
        return self._until(num_chars, stop or "")

    def _until(self, num_chars: int, stop: str) -> Iterator[str]:
        tail = ""
        for _ in range(num_chars):
            character = next(self)
            if character == self._context.vocabulary.mark:
                return
            yield character
            if stop:
                tail = (tail + character)[-len(stop) :]
                if tail == stop:
                    return
