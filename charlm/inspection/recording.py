"""What every unit does while a model reads a text.

    N characters · B = 1 lane · H hidden size of a layer

The eager loop, one cell step after another, with everything kept that a cell has to show: its
state and, if it has them, its gates.
"""

from dataclasses import dataclass

import numpy as np
import torch

from charlm.inspection.gates import gates_of
from charlm.model import CharLM, ModelState


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
def record(model: CharLM, ids: np.ndarray) -> Recording:
    """Read a text from an untouched state.

    Args:
        model: of any cells; it isn't changed.
        ids: of the text's characters, [N].
    """
    device = model.output.weight.device
    ids_N1 = torch.from_numpy(ids.astype(np.int64)).to(device).unsqueeze(1)
    inputs = ids_N1 if model.embedding is None else model.embedding(ids_N1)
    parts: dict[str, np.ndarray] = {}
    states = []
    for number, cell in enumerate(model.cells, start=1):
        state = cell.initial_state(1)
        kept = [[part_1H] for part_1H in state]
        gates: dict[str, list[torch.Tensor]] = {}
        for preactivation_1G in cell.project(inputs):
            for name, gate_1H in gates_of(cell, preactivation_1G, state).items():
                gates.setdefault(name, []).append(gate_1H)
            state = cell.step(preactivation_1G, state)
            for steps, part_1H in zip(kept, state, strict=True):
                steps.append(part_1H)
        layer = tuple(torch.cat(steps) for steps in kept)
        states.append(layer)
        for name, part_NH in zip(cell.state_names, layer, strict=True):
            parts[f"layer{number}.{name}"] = part_NH[1:].float().cpu().numpy()
        for name, steps in gates.items():
            parts[f"layer{number}.{name}"] = torch.cat(steps).float().cpu().numpy()
        inputs = layer[0][1:].unsqueeze(1)
    return Recording(parts, tuple(states))
