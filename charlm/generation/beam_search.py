"""Beam search: the likeliest continuation, as far as a beam of given width sees.

K beams · V vocabulary
"""

from typing import NamedTuple

import numpy as np

from charlm.errors import UserError
from charlm.generation.context import Context, check_num_chars, encode_stop
from charlm.generation.sampling import log_probabilities
from charlm.generation.step import choose_lanes


class Beam(NamedTuple):
    """A continuation: its ids, and the sum of their log-probabilities [nats]."""

    ids: tuple[int, ...]
    log_p: float

    @property
    def score(self) -> float:
        """Nats per character: texts of different lengths can be compared by it."""
        return self.log_p / max(1, len(self.ids))


def beam_search(
    context: Context, num_chars: int, num_beams: int, stop: str | None = None
) -> tuple[str, float]:
    """The likeliest continuation that was found, and its log-probability in nats per character.

    Of all continuations of the K likeliest texts so far, the K likeliest are kept, ``num_chars``
    times (d2l.ai, "Beam Search", with its length penalty α = 1). A text that comes to the end of
    ``stop`` or to a document's end is complete, and no longer takes a beam. Of equally likely ones the one that stands
    first in the order of ids is taken. With one beam it is the greedy choice; with as many beams
    as there are texts, exhaustive search.

    Args:
        context: what is continued.
        num_chars: of the continuation, at most.
        num_beams: K.
        stop: a string at whose first occurrence a continuation is complete.

    Raises:
        UserError: a number below its least, or see ``encode_stop``; the model's predictions aren't
            finite numbers.
    """
    check_num_chars(num_chars)
    if num_beams < 1:
        raise UserError(f"num_beams is {num_beams}: it must be at least 1.")
    stop_ids = tuple(encode_stop(context.vocabulary, stop))
    mark, mark_id = context.vocabulary.mark, context.vocabulary.mark_id
    stepper, state = context.stepper, context.state
    beams = [Beam((), 0.0)]
    complete: list[Beam] = []
    for _ in range(num_chars):
        log_p_KV = log_probabilities(stepper.logits(state))
        log_p_KV += np.array([[beam.log_p] for beam in beams])
        grown: list[Beam] = []
        parents: list[int] = []
        # Stable: of equal ones, the one of the beam that stands first, then the lowest id.
        for place in np.argsort(-log_p_KV, axis=None, kind="stable").tolist():
            parent, id_ = divmod(place, log_p_KV.shape[1])
            log_p = float(log_p_KV[parent, id_])
            if len(grown) == num_beams or log_p == -np.inf:
                break
            beam = Beam((*beams[parent].ids, id_), log_p)
            if id_ == mark_id or (stop_ids and beam.ids[-len(stop_ids) :] == stop_ids):
                complete.append(beam)
                continue
            grown.append(beam)
            parents.append(parent)
        beams = grown
        if not beams:
            break
        state = stepper.step(
            np.array([beam.ids[-1] for beam in beams]), choose_lanes(state, parents)
        )
    best = min(complete + beams, key=lambda beam: (-beam.score, beam.ids))
    text = context.vocabulary.decode(best.ids)
    return text.removesuffix(mark) if mark else text, best.score
