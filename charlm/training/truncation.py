"""Truncated BPTT(k1, k2): an update every k1 steps, its gradients through the last k2 steps.

    T time steps of a batch (k1) · S steps before it · B lanes · V vocabulary

The state is carried from k2 - k1 steps before the batch, with the characters since, which are run
anew under the weights of the moment (Williams & Peng 1990; Sutskever 2013, section 2.8.6). With
k2 = k1 nothing is run twice: it is the ordinary carried state.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from charlm.data.batch import begins
from charlm.errors import UserError
from charlm.model import CharLM, ModelState, detach


class Reached(NamedTuple):
    """What ``run_again`` returns.

    Attributes:
        logits_TBV: the batch's own.
        state: the state from up to ``reach`` steps before the batch's end, detached.
        ids_BS: the ids since.
    """

    logits_TBV: Tensor
    state: ModelState
    ids_BS: Tensor


def run_again(
    model: CharLM,
    inputs_TB: Tensor,
    state: ModelState | None,
    ids_BS: Tensor | None,
    reach: int,
    mark_id: int | None = None,
) -> Reached:
    """The batch's logits, in a graph that reaches up to ``reach`` steps further back.

    Args:
        inputs_TB: the batch's ids.
        state: what this function returned for the batch before; none at a text's start.
        ids_BS: the same.
        reach: k2 - k1, the S that is kept at most.
        mark_id: what stands between documents, if the text has any.
    """
    T, B = inputs_TB.shape
    if ids_BS is not None:
        inputs_TB = torch.cat([ids_BS.t(), inputs_TB])
    num_left = max(0, len(inputs_TB) - reach)
    left_TB, kept_SB = inputs_TB[:num_left], inputs_TB[num_left:]
    logits = []
    state = model.initial_state(B) if state is None else state
    if len(left_TB):
        left_TBV, state = model(left_TB, state, begins(left_TB, mark_id))
        logits.append(left_TBV)
    # Here the next batch's graph begins; this batch's goes on through it.
    next_state = detach(state)
    if len(kept_SB):
        logits.append(model(kept_SB, state, begins(kept_SB, mark_id))[0])
    return Reached(torch.cat(logits)[-T:], next_state, kept_SB.t().contiguous())


def reach_beyond(k2: int | None, T: int, continues: bool) -> int:
    """How many steps before a window of T steps (k1) back-propagation reaches, k2 - k1.

    Args:
        continues: false where the window goes on from no batch before it.

    Raises:
        UserError: k2 is below k1, or reaches into a batch that this one doesn't continue.
    """
    if k2 is None or k2 == T:
        return 0
    if k2 < T:
        raise UserError(
            f"model.backprop_steps is {k2}, and data.num_steps {T}: the loss of the first "
            f"{T - k2} characters would go unused; lower num_steps, or raise backprop_steps."
        )
    if not continues:
        raise UserError(
            f"model.backprop_steps ({k2}) reaches beyond a window of {T} steps, but each batch "
            "begins anew: take data.sampling sequential, or leave backprop_steps out."
        )
    return int(k2) - T


def check_windows(k2: int | None, data: Any) -> None:
    """Raise a UserError for options of the data, by name, whose windows k2 can't reach beyond."""
    if k2 is None:
        return
    if data.num_steps_jitter:
        raise UserError(
            "data.num_steps_jitter and model.backprop_steps don't go together: BPTT(k1, k2) wants "
            "windows of one length; leave one of them out."
        )
    reach_beyond(k2, data.num_steps, data.carry and data.sampling != "random")
