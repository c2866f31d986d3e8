"""How far back the gradient of each character's loss reaches, for many characters at once.

N characters · T steps back · B places at a time
"""

import numpy as np
import torch

from charlm.evaluation.gradient_flow import gradient_flow
from charlm.inspection.recording import Recording
from charlm.model import CharLM

PLACES_AT_A_TIME = 64


def reach(
    model: CharLM,
    ids: np.ndarray,
    recording: Recording,
    num_places: int,
    num_steps: int,
    mark_id: int | None = None,
) -> np.ndarray:
    """The share of each of the last T characters in the gradient of a character's loss.

    The norm of ∂L_n/∂h of the top layer's hidden state after each character before n, divided by
    the largest of them. Place n is the loss of character n, given those before it.

    Args:
        ids: of the text, [N].
        recording: of the model over the text.
        num_places: for so many characters from the start of the text.
        num_steps: T, how far back is looked.
        mark_id: of what stands between documents, beyond which no gradient reaches.

    Returns:
        Shares from 0 to 1, [places, T], the character just before the place first; 0 where there
        is none.
    """
    num_places = min(num_places, len(ids))
    num_steps = max(1, min(num_steps, num_places))
    shares = np.zeros((num_places, num_steps), dtype=np.float32)
    device = model.output.weight.device
    # The part of a state that comes first is the output.
    name = f"layer{len(model.cells)}.{model.cells[-1].state_names[0]}"
    # A place with fewer characters before it has a shorter window: those come one by one.
    early = [np.array([n]) for n in range(1, min(num_steps, num_places))]
    late = np.arange(num_steps, num_places)
    batches = [late[i : i + PLACES_AT_A_TIME] for i in range(0, len(late), PLACES_AT_A_TIME)]
    for places in [*early, *batches]:
        T = min(int(places[0]), num_steps)
        steps_TB = places - T + np.arange(T)[:, None]
        ids_TB = torch.from_numpy(ids[steps_TB].astype(np.int64)).to(device)
        norms_TB = gradient_flow(
            model,
            ids_TB,
            torch.from_numpy(ids[places].astype(np.int64)).to(device),
            recording.state_before(places - T),
            None if mark_id is None else ids_TB == mark_id,
        )[name]
        largest_B = norms_TB.max(dim=0).values.clamp(min=torch.finfo(norms_TB.dtype).tiny)
        shares[places, :T] = (norms_TB / largest_B).t().cpu().numpy()
    return shares
