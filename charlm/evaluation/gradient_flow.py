"""How far back a loss is felt: the norm of ∂L_t/∂h_(t-k) against k, of any model.

T time steps · B lanes · H hidden size · V vocabulary
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.model import CharLM, ModelState, detach
from charlm.recurrence.documents import begin


@torch.enable_grad()
def gradient_flow(
    model: CharLM,
    ids_TB: Tensor,
    targets_B: Tensor,
    state: ModelState | None = None,
    begins_TB: Tensor | None = None,
) -> dict[str, Tensor]:
    """‖∂L_t/∂s_(t-k)‖ of every layer's state s, at lags k = 0 .. T-1 (d2l.ai, "Backpropagation
    Through Time"; Pascanu et al. 2013).

    L_t is each lane's loss in nats at the last step alone, so that nothing but the recurrence
    brings it to an earlier state. An LSTM's memory counts with all that it does, through the
    hidden state of its own step too. The model isn't changed, nor are its gradients.

    Args:
        ids_TB: a window of symbol ids.
        targets_B: the characters after it.
        state: before the window (none: zeros).
        begins_TB: where a document begins (bool; none: nowhere).

    Returns:
        By ``layer1.hidden`` (and ``layer1.memory`` of an LSTM): the norms [T, B], k = 0 first.
    """
    _, B = ids_TB.shape
    state = model.initial_state(B) if state is None else detach(state)
    for cell_state in state:
        for part_BH in cell_state:
            part_BH.requires_grad_()  # a cell may hand it on as it is
    inputs = ids_TB if model.embedding is None else model.embedding(ids_TB)
    parts: dict[str, list[Tensor]] = {}
    all_outputs: list[Tensor] = []
    # The eager loop, with every state in between kept.
    for number, (cell, cell_state) in enumerate(zip(model.cells, state, strict=True), start=1):
        outputs = []
        for t, preactivation_BG in enumerate(cell.project(inputs)):
            if begins_TB is not None:
                cell_state = begin(cell, cell_state, begins_TB[t])
            cell_state = cell.step(preactivation_BG, cell_state)
            outputs.append(cell_state[0])
            for name, part_BH in zip(cell.state_names, cell_state, strict=True):
                parts.setdefault(f"layer{number}.{name}", []).append(part_BH)
        inputs = torch.stack(outputs)
        all_outputs.append(outputs[-1])
    read = torch.cat(all_outputs, dim=1) if model.readout == "concat" else all_outputs[-1]
    # Lanes don't meet, so the sum's gradient by a lane's state is that lane's own.
    loss = F.cross_entropy(model.output(read), targets_B, reduction="sum")
    flat = [part_BH for steps in parts.values() for part_BH in steps]
    # Not every part is felt later: zeros for those that aren't.
    gradients = iter(torch.autograd.grad(loss, flat, allow_unused=True, materialize_grads=True))
    return {
        name: torch.stack([next(gradients).norm(dim=1) for _ in steps]).flip(0)
        for name, steps in parts.items()
    }
