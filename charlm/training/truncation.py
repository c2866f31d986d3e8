"""Truncated BPTT(k1, k2): an update every k1 steps, its gradients through the last k2 steps.

    T time steps of a batch (k1) · S steps before it · B lanes · V vocabulary

The state is carried from k2 - k1 steps before the batch, with the characters since, which are run
anew under the weights of the moment (Williams & Peng 1990; Sutskever 2013, section 2.8.6). With
k2 = k1 nothing is run twice: it is the ordinary carried state.
"""

import torch
from torch import Tensor

from charlm.data.batch import begins
from charlm.model import CharLM, ModelState, detach


def run_again(
    model: CharLM,
    inputs_TB: Tensor,
    carried: ModelState | None,
    reach: int,
    mark_id: int | None = None,
) -> tuple[Tensor, ModelState]:
    """The batch's logits, in a graph that reaches up to ``reach`` steps further back.

    Args:
        inputs_TB: the batch's ids.
        carried: what this function returned for the batch before; none at a text's start.
        reach: k2 - k1, the S that is kept at most.
        mark_id: what stands between documents, if the text has any.

    Returns:
        Logits [T, B, V], and what to carry: the detached state from up to ``reach`` steps before
        the batch's end, and as its last part the ids since, [B, S].
    """
    T = len(inputs_TB)
    state: ModelState | None = None
    if carried is not None:
        *layers, (kept_BS,) = carried
        state = tuple(layers)
        inputs_TB = torch.cat([kept_BS.t(), inputs_TB])
    num_left = max(0, len(inputs_TB) - reach)
    left_TB, kept_SB = inputs_TB[:num_left], inputs_TB[num_left:]
    logits = []
    state = model.initial_state(inputs_TB.shape[1]) if state is None else state
    if len(left_TB):
        left_TBV, state = model(left_TB, state, begins(left_TB, mark_id))
        logits.append(left_TBV)
    # Where the next batch's graph begins; in this batch's the gradient flows on through it.
    carried = (*detach(state), (kept_SB.t().contiguous(),))
    if len(kept_SB):
        logits.append(model(kept_SB, state, begins(kept_SB, mark_id))[0])
    return torch.cat(logits)[-T:], carried
