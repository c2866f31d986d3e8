"""A whole character language model: symbol ids -> stacked layers -> mean cross-entropy.

T time steps · B lanes · H hidden size of the last layer · V vocabulary
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from charlm.reference.cells import Array, Cell, Parameters, StateArrays, checked
from charlm.reference.through_time import Unrolled, bptt, check_truncation, unroll

ModelState = tuple[StateArrays, ...]  # one cell state a layer, from the first up


@dataclass(eq=False)
class Evaluation:
    """What ``LanguageModel.evaluate`` returns.

    Attributes:
        loss: nats per character.
        logits_TBV: of all T steps.
        state: after the last step.
        d_parameters: ∂loss/∂ every parameter, by its name in ``LanguageModel.parameters``.
        d_state: ∂loss/∂ the state before the first step.
    """

    loss: float
    logits_TBV: Array
    state: ModelState
    d_parameters: Parameters
    d_state: ModelState


@dataclass(eq=False)
class LanguageModel:
    """Recurrent layers, of any cells and sizes, on one-hot vectors, and a linear output layer.

    logits = W h + b, h the last layer's output
    loss = -mean log softmax(logits)[target]

    Args:
        layers: from the first up, whose input size is V.
        weight_VH, bias_V: of the output layer.

    Raises:
        ValueError: layers that don't fit on one another.
    """

    layers: Sequence[Cell]
    weight_VH: Array
    bias_V: Array

    def __post_init__(self) -> None:
        self.weight_VH = np.array(self.weight_VH, dtype=np.float64)
        self.bias_V = np.array(self.bias_V, dtype=np.float64)
        V = len(self.bias_V)
        sizes = [V, *(layer.hidden_size for layer in self.layers)]
        if (given := [layer.input_size for layer in self.layers]) != sizes[:-1]:
            raise ValueError(f"the layers' input sizes are {given}, and must be {sizes[:-1]}")
        checked("weight_VH", self.weight_VH, V, sizes[-1])
        checked("bias_V", self.bias_V, V)

    @property
    def parameters(self) -> Parameters:
        """The arrays themselves (change them in place), named as in ``charlm.model.CharLM``."""
        return {
            **{
                f"layers.{number}.{name}": value
                for number, layer in enumerate(self.layers)
                for name, value in layer.parameters.items()
            },
            "output.weight": self.weight_VH,
            "output.bias": self.bias_V,
        }

    def forward(
        self, ids_TB: ArrayLike, state: ModelState | None = None
    ) -> tuple[Array, ModelState, list[Unrolled]]:
        """Logits [T, B, V], the state after, and every layer's run.

        Args:
            ids_TB: symbol ids.
            state: before the first of them (None: zeros).

        Raises:
            ValueError: ids outside 0 .. V - 1, or a state that isn't the layers'.
        """
        x_TBI = one_hot(ids_TB, len(self.bias_V))
        states = (None,) * len(self.layers) if state is None else state
        runs: list[Unrolled] = []
        for layer, layer_state in zip(self.layers, states, strict=True):
            runs.append(unroll(layer, x_TBI, layer_state))
            x_TBI = runs[-1].outputs_TBH
        return x_TBI @ self.weight_VH.T + self.bias_V, tuple(run.state for run in runs), runs

    def evaluate(
        self, ids_TB: ArrayLike, targets_TB: ArrayLike, state: ModelState | None = None
    ) -> Evaluation:
        """The loss and all its gradients, by BPTT.

        Args:
            ids_TB: symbol ids.
            targets_TB: the ids to be predicted, [T, B], or [k1, B] for a loss of the last k1
                steps only (truncated BPTT).
            state: before the first step (None: zeros).

        Raises:
            ValueError: as ``forward``, or targets of another shape.
        """
        logits_TBV, new_state, runs = self.forward(ids_TB, state)
        T, B, V = logits_TBV.shape
        targets_TBV = one_hot(targets_TB, V)
        k1 = len(targets_TBV)
        if not 1 <= k1 <= T:
            raise ValueError(f"{k1} steps of targets for {T} steps of ids")
        checked("targets", targets_TBV, k1, B, V)

        # log softmax(l) = l - log Σ e^l; its derivative by l gives ∂loss/∂l = (p - target) / N.
        shifted_TBV = logits_TBV[-k1:] - logits_TBV[-k1:].max(axis=2, keepdims=True)
        log_p_TBV = shifted_TBV - np.log(np.exp(shifted_TBV).sum(axis=2, keepdims=True))
        loss = -(targets_TBV * log_p_TBV).sum() / (k1 * B)
        d_logits_TBV = np.zeros((T, B, V))
        d_logits_TBV[-k1:] = (np.exp(log_p_TBV) - targets_TBV) / (k1 * B)

        h_TBH = runs[-1].outputs_TBH
        d_parameters = {
            "output.weight": np.einsum("tbv,tbh->vh", d_logits_TBV, h_TBH),
            "output.bias": d_logits_TBV.sum(axis=(0, 1)),
        }
        d_TBH = d_logits_TBV @ self.weight_VH
        d_states: list[StateArrays] = []
        for number in reversed(range(len(self.layers))):
            gradients = bptt(self.layers[number], runs[number], d_TBH)
            for name, value in gradients.parameters.items():
                d_parameters[f"layers.{number}.{name}"] = value
            d_states.insert(0, gradients.state)
            d_TBH = gradients.inputs_TBI
        return Evaluation(float(loss), logits_TBV, new_state, d_parameters, tuple(d_states))


def one_hot(ids: ArrayLike, V: int) -> NDArray[np.float64]:
    """ids [T, B] -> [T, B, V]; built in full, since here the definition counts."""
    ids = np.asarray(ids)
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"ids are of {ids.dtype} {ids.shape}, and must be integers [T, B]")
    if ids.size and (ids.min() < 0 or ids.max() >= V):
        raise ValueError(f"ids go from {ids.min()} to {ids.max()}, and must be in 0 .. {V - 1}")
    return np.eye(V)[ids]


def truncated_updates(
    model: LanguageModel,
    ids_TB: ArrayLike,
    targets_TB: ArrayLike,
    state: ModelState | None,
    k1: int,
    k2: int,
) -> Iterator[Evaluation]:
    """Truncated BPTT with updates: after every k1 steps, gradients through the last k2 steps.

    Between two evaluations the caller changes ``model.parameters`` in place. Each evaluation runs
    anew, under the parameters of the moment, from the state that was saved k2 steps back (at
    first fewer), and its loss is the mean over the last k1 steps. The state to start the next one
    from is saved before the update; where k1 = k2 it is just the state carried from window to
    window. Steps that are left over at the end (T mod k1) give no update.

    Args:
        model: the language model.
        ids_TB, targets_TB: all T steps.
        state: before the first of them (None: zeros).
        k1: steps from one update to the next.
        k2: steps to go back, at least k1.

    Raises:
        ValueError: not 1 <= k1 <= k2, or as ``evaluate``.
    """
    check_truncation(k1, k2)
    ids_TB, targets_TB = np.asarray(ids_TB), np.asarray(targets_TB)
    start = 0
    for end in range(k1, len(ids_TB) + 1, k1):
        evaluation = model.evaluate(ids_TB[start:end], targets_TB[end - k1 : end], state)
        next_start = max(end + k1 - k2, 0)
        _, state, _ = model.forward(ids_TB[start:next_start], state)
        start = next_start
        yield evaluation
