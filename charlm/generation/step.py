"""The model's single step, without autograd, and with little else than its arithmetic.

    B lanes · V vocabulary · H hidden size of a layer · P what a cell makes of its input

On a CPU the step is NumPy's, whose calls cost a quarter of torch's; elsewhere it is torch's. A
lane's values are the same to the last bit whether it is stepped alone or among others: so are the
products (``charlm.generation.row_products``), and everything else is done element by element.
"""

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from charlm.errors import UserError
from charlm.generation.cell_steps import CellSteps, as_array
from charlm.generation.row_products import WEIGHTS, Array, Multiply, Product, StackedProducts
from charlm.model import CharLM
from charlm.text.vocabulary import UNKNOWN_ID

# As ``charlm.model.ModelState``: of each layer the parts of its state, [B, H] each.
StepperState = tuple[tuple[Array, ...], ...]


class Stepper:
    """A model as it is now, ready to step: its weights are copied, dropout has no part in it.

    Args:
        model: of any device and dtype; half precision is stepped in float32.
        weights: the type that products' weights are kept in, one of ``WEIGHTS``.

    Raises:
        UserError: shorter weights where they don't help: off the CPU, of a model in float64, or of a
            cell that has no fast step; another type.
    """

    def __init__(self, model: CharLM, weights: str = "float32") -> None:
        if weights not in WEIGHTS:
            raise UserError(f"Unknown weights {weights!r}: choose one of {', '.join(WEIGHTS)}.")
        weight = model.output.weight
        self.device = weight.device
        self.dtype = weight.dtype if weight.dtype == torch.float64 else torch.float32
        self._xp: ModuleType = np if self.device.type == "cpu" else torch
        if weights != "float32" and (self.device.type != "cpu" or self.dtype != torch.float32):
            raise UserError(f"weights {weights} is for a model in float32 on a CPU: leave it out.")
        cells = [CellSteps(cell, self.dtype, weights) for cell in model.cells]
        # A one-hot vector times W_ih is a column of it; an embedding is one of V vectors.
        if model.embedding is None:
            inputs = torch.arange(model.vocab_size, device=self.device)
        else:
            inputs = self._copy(model.embedding.weight)
        self._table_VP = cells[0].table(inputs)
        self._projections = [cell.project for cell in cells[1:]]
        self._steps = [cell.make() for cell in cells[:-1]]
        self._reads_all = model.readout == "concat"
        last = cells[-1]
        if self._reads_all or last.only_weight is None:
            self._output: Multiply = Product(self._as_is(weight), kept=weights)
            self._steps.append(last.make())
        else:
            stacked = StackedProducts(last.only_weight, self._as_is(weight), weights)
            self._output = stacked.output
            self._steps.append(last.make(stacked.recurrent))
        # As a row: NumPy adds it in half the time.
        output_bias_1V = self._copy(model.output.bias).unsqueeze(0)
        output_bias_1V[:, UNKNOWN_ID] = -torch.inf
        self._output_bias_1V = as_array(self._xp, output_bias_1V)
        self._parts = [(len(cell.state_names), cell.hidden_size) for cell in model.cells]

    def _copy(self, parameter: Tensor) -> Tensor:
        return parameter.detach().to(self.dtype, copy=True)

    def _as_is(self, parameter: Tensor) -> Tensor:
        """For who copies it."""
        return parameter.detach().to(self.dtype)

    def from_numpy(self, array: np.ndarray) -> Array:
        """An array of the kind that states are made of."""
        return array if self._xp is np else torch.from_numpy(array).to(self.device)

    def initial_state(self, num_lanes: int) -> StepperState:
        """Zeros [B, H] for every part of the state, as at the start of a text."""
        return tuple(
            tuple(
                as_array(self._xp, torch.zeros(num_lanes, H, dtype=self.dtype, device=self.device))
                for _ in range(num_parts)
            )
            for num_parts, H in self._parts
        )

    def step(self, ids_B: np.ndarray, state: StepperState) -> StepperState:
        """The state after each lane has read one more character; the state before stays as it is.

        Args:
            ids_B: their ids (int64).
            state: before.
        """
        if self._xp is np:
            x_BP = self._table_VP.take(ids_B, axis=0)
        else:
            x_BP = self._table_VP[self.from_numpy(ids_B)]
        new_state: StepperState = (self._steps[0](x_BP, *state[0]),)
        for layer, project in enumerate(self._projections, start=1):
            x_BP = project(new_state[-1][0])
            new_state = *new_state, self._steps[layer](x_BP, *state[layer])
        return new_state

    def logits(self, state: StepperState) -> np.ndarray:
        """Logits [B, V] for the character that follows, on the host; ``<unk>``'s is -∞: it is none."""
        read = state[-1][0]
        if self._reads_all:
            outputs = [cell_state[0] for cell_state in state]
            read = self._join(outputs, 1)
        logits_BV = self._output(read) + self._output_bias_1V
        return logits_BV if isinstance(logits_BV, np.ndarray) else logits_BV.cpu().numpy()

    def read(self, ids: Sequence[int], state: StepperState) -> StepperState:
        """The state after one lane has read one character after the other."""
        for id_ in ids:
            state = self.step(np.array([id_]), state)
        return state

    def stack(self, states: Sequence[StepperState]) -> StepperState:
        """The lanes of several states in one."""
        return tuple(
            tuple(self._join(parts, 0) for parts in zip(*layer, strict=True))
            for layer in zip(*states, strict=True)
        )

    def _join(self, arrays: Sequence[Array], axis: int) -> Array:
        return np.concatenate(arrays, axis) if self._xp is np else torch.cat(tuple(arrays), axis)


def choose_lanes(state: StepperState, which: Sequence[int]) -> StepperState:
    """A copy of some lanes of a state, in this order; a lane may be named many times."""
    return tuple(tuple(part[list(which)] for part in cell_state) for cell_state in state)
