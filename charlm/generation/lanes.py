"""Many texts at once, a lane each; each is the text that its context and seed give alone.

B lanes
"""

from collections.abc import Sequence

import torch

from charlm.generation.context import Context
from charlm.generation.sampling import RandomNumbers, SamplingOptions
from charlm.generation.step import choose_lanes

# Lanes at once: they bound the memory, not the result.
MAX_LANES = 64


@torch.inference_mode()
def continue_all(
    contexts: Sequence[Context],
    num_chars: int,
    sampling: SamplingOptions,
    seeds: Sequence[int | None],
    stop: Sequence[int] = (),
    mark_id: int | None = None,
) -> list[list[int]]:
    """The ids that follow each context: ``num_chars``, or fewer where they come to ``stop``.

    Args:
        contexts: of one model, B.
        sampling: how characters are chosen.
        seeds: of each lane.
        stop: ids at whose first occurrence a lane ends, or none.
        mark_id: of the mark at which a document ends, and its lane with it; the mark isn't
            returned.

    Raises:
        UserError: the model's predictions aren't finite numbers.
    """
    stepper = contexts[0].stepper
    state = stepper.stack([context.state for context in contexts])
    ids: list[list[int]] = [[] for _ in contexts]
    # Of the lanes that still go on, one a row of the state.
    going, numbers = ids, [RandomNumbers(seed) for seed in seeds]
    stop = list(stop)
    for _ in range(num_chars):
        ids_B = sampling.choose(stepper.logits(state), numbers)
        for lane, id_ in zip(going, ids_B.tolist(), strict=True):
            lane.append(id_)
        if stop or mark_id is not None:
            rows = []
            for row, lane in enumerate(going):
                if lane[-1] == mark_id:
                    lane.pop()
                elif not stop or lane[-len(stop) :] != stop:
                    rows.append(row)
            if not rows:
                break
            if len(rows) < len(going):
                going, numbers = [going[row] for row in rows], [numbers[row] for row in rows]
                state, ids_B = choose_lanes(state, rows), ids_B[rows]
        state = stepper.step(ids_B, state)
    return ids
