"""What every unit does while a model reads a text.

N characters of a text · T time steps · B lanes · H hidden size of a layer
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from charlm.inspection.gates import gates_of
from charlm.model import CharLM, ModelState
from charlm.recurrence.documents import begin


@dataclass(frozen=True, eq=False)
class Recording:
    """The values of every unit after each character of a text.

    Args:
        parts: by ``layer1.hidden``, ``layer1.memory``, ``layer1.forget_gate`` and so on, [N, H]
            (float32).
        states: the model's state before each of the N characters and after the last, a tensor
            [N + 1, H] for each part of each layer's state.
    """

    parts: dict[str, np.ndarray]
    states: tuple[tuple[torch.Tensor, ...], ...]

    def state_before(self, places: np.ndarray) -> ModelState:
        """The state before the characters at some places: as many lanes as places."""
        index = torch.from_numpy(places)
        return tuple(tuple(part_NH[index] for part_NH in layer) for layer in self.states)


@torch.no_grad()
def unit_values(
    model: CharLM,
    ids_TB: Tensor,
    state: ModelState | None = None,
    begins_TB: Tensor | None = None,
) -> dict[str, Tensor]:
    """The state's parts and the gates of every layer after every step, [T, B, H] each, by name.

    The eager loop, one cell step after another, with everything kept that a cell has to show.

    Args:
        ids_TB: a window of symbol ids.
        state: before the window (none: zeros).
        begins_TB: where a document begins (bool; none: nowhere).
    """
    _, B = ids_TB.shape
    state = model.initial_state(B) if state is None else state
    inputs = ids_TB if model.embedding is None else model.embedding(ids_TB)
    values: dict[str, list[Tensor]] = {}
    for number, (cell, cell_state) in enumerate(zip(model.cells, state, strict=True), start=1):
        outputs = []
        for t, preactivation_BG in enumerate(cell.project(inputs)):
            if begins_TB is not None:
                cell_state = begin(cell, cell_state, begins_TB[t])
            shown = gates_of(cell, preactivation_BG, cell_state)
            cell_state = cell.step(preactivation_BG, cell_state)
            shown |= dict(zip(cell.state_names, cell_state, strict=True))
            outputs.append(cell_state[0])
            for name, value_BH in shown.items():
                values.setdefault(f"layer{number}.{name}", []).append(value_BH)
        inputs = torch.stack(outputs)
    return {name: torch.stack(steps) for name, steps in values.items()}


def record(model: CharLM, ids: np.ndarray, mark_id: int | None = None) -> Recording:
    """Read a text from an untouched state, or, of documents, from the mark before the first.

    Args:
        model: of any cells; it isn't changed.
        ids: of the text's characters, [N].
        mark_id: of what stands between documents: with each, the state begins anew.
    """
    read = ids if mark_id is None else np.append(mark_id, ids)
    ids_N1 = torch.from_numpy(read.astype(np.int64)).to(model.output.weight.device).unsqueeze(1)
    begins_N1 = None if mark_id is None else ids_N1 == mark_id
    recorded = unit_values(model, ids_N1, begins_TB=begins_N1)
    values = {name: value_N1H[:, 0] for name, value_N1H in recorded.items()}
    if mark_id is not None:
        of_the_text = {name: value_NH[1:] for name, value_NH in values.items()}
        states = tuple(
            tuple(values[f"layer{number}.{name}"] for name in cell.state_names)
            for number, cell in enumerate(model.cells, start=1)
        )
        return Recording(_as_arrays(of_the_text), states)
    states = tuple(
        tuple(
            torch.cat([start_1H, values[f"layer{number}.{name}"]])
            for name, start_1H in zip(cell.state_names, cell.initial_state(1), strict=True)
        )
        for number, cell in enumerate(model.cells, start=1)
    )
    return Recording(_as_arrays(values), states)


def _as_arrays(values: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.float().cpu().numpy() for name, value in values.items()}
