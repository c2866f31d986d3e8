"""Dynamic evaluation: the weights go on learning from the text, after it has been predicted.

    N characters of a text · M of a segment · V vocabulary

Krause, Kahembwe, Murray & Renals 2018, "Dynamic Evaluation of Neural Sequence Models". The text is
read in segments, the state carried. After a segment has been predicted, of its mean loss' gradient g

    θ ← θ - rate · g / (r + ε) + min(1, decay · r / r̄) · (θ₀ - θ)

where θ₀ are the trained weights, r is the root mean square of g over segments of the training text,
weight by weight, r̄ its mean over all weights, and ε a hundredth of r̄. No character has been learnt from
before it is predicted, so the sum of the nats is a code length like any other.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.data.batch import Batch
from charlm.data.held_out import HeldOut
from charlm.errors import UserError
from charlm.evaluation.protocol import first_log_probabilities, log_probabilities
from charlm.evaluation.scoring import Prediction
from charlm.model import CharLM, ModelState, detach

# What the gradients are measured on: so many segments, each in so many lanes of the text.
LANES = 16
SEGMENTS = 100
# ε as a part of r̄.
EPSILON = 0.01


@dataclass(frozen=True)
class DynamicEvaluation:
    """How the weights go on learning.

    Args:
        segment: M, the characters that are predicted before they are learnt from.
        rate: of learning.
        decay: how far a weight of the mean gradient goes back towards its trained value.

    Raises:
        UserError: a number that is out of range.
    """

    segment: int = 20
    rate: float = 1e-4
    decay: float = 1e-4

    def __post_init__(self) -> None:
        if self.segment < 1:
            raise UserError(f"segment is {self.segment}: it must be at least 1.")
        for name, value in (("rate", self.rate), ("decay", self.decay)):
            if not 0 <= value < math.inf:
                raise UserError(f"{name} is {value}: it must be a number from 0 up.")

    @classmethod
    def of(cls, hyper_parameters: Mapping[str, Any], **given: float | None) -> "DynamicEvaluation":
        """What is given, else what the checkpoint's ``dynamic_evaluation`` says, else the default.

        Args:
            hyper_parameters: of the checkpoint.
            **given: ``segment``, ``rate``, ``decay``; None where it isn't given.
        """
        stored = hyper_parameters.get("dynamic_evaluation") or {}
        return cls(**stored | {name: value for name, value in given.items() if value is not None})


def gradient_rms(
    model: CharLM, ids: np.ndarray, segment: int, mark_id: int | None = None
) -> list[Tensor]:
    """r of each parameter: the root mean square of its gradient over segments of a text.

    Args:
        ids: the training text, at least two characters.
        segment: M.
        mark_id: what stands between documents, if the text has any.
    """
    model = copy.deepcopy(model).eval()
    parameters = list(model.parameters())
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    held_out = HeldOut(ids, LANES, segment, mark_id=mark_id)
    num_segments = min(SEGMENTS, len(held_out))
    state = None
    for k in range(num_segments):
        batch = held_out.batch(k)
        _, loss, state = _predict(model, batch, state)
        for square, gradient in zip(squares, _gradients(loss, parameters), strict=True):
            square.addcmul_(gradient, gradient)
    return [square.div_(num_segments).sqrt_() for square in squares]


def dynamic_predictions(
    model: CharLM,
    ids: np.ndarray,
    settings: DynamicEvaluation,
    rms: list[Tensor],
    mark_id: int | None = None,
) -> Iterator[Prediction]:
    """Each of the N characters ``ids`` predicted once, in order, and learnt from afterwards.

    The model is left as it is: it's a copy of it that learns.

    Args:
        rms, mark_id: see ``gradient_rms``.

    Raises:
        UserError: the weights diverge.
    """
    yield np.zeros(1, dtype=np.int64), first_log_probabilities(model).detach()[None]
    if len(ids) < 2:
        return
    trained = [parameter.detach() for parameter in model.parameters()]
    learning = copy.deepcopy(model).eval()
    parameters = list(learning.parameters())
    mean = sum(float(r.sum()) for r in rms) / sum(r.numel() for r in rms)
    # Where no gradient flows at all, nothing is learnt.
    mean = max(mean, torch.finfo(torch.float32).tiny)
    rates = [settings.rate / (r + EPSILON * mean) for r in rms]
    pulls = [(settings.decay / mean * r).clamp(max=1) for r in rms]
    held_out = HeldOut(ids, 1, settings.segment, mark_id=mark_id)
    state = None
    for k in range(len(held_out)):
        batch = held_out.batch(k)
        logits_M1V, loss, state = _predict(learning, batch, state)
        places_M = held_out.places(k)[:, 0]
        if not math.isfinite(loss.item()):
            raise UserError(
                f"Dynamic evaluation has diverged by character {places_M[0]:,}: lower its rate "
                f"({settings.rate:g})."
            )
        yield places_M, log_probabilities(logits_M1V.detach()[:, 0])
        gradients = _gradients(loss, parameters)
        with torch.no_grad():
            for theta, gradient, rate, pull, theta_0 in zip(
                parameters, gradients, rates, pulls, trained, strict=True
            ):
                theta.addcmul_(gradient, rate, value=-1).addcmul_(theta_0 - theta, pull)


@torch.enable_grad()
def _predict(
    model: CharLM, batch: Batch, state: ModelState | None
) -> tuple[Tensor, Tensor, ModelState]:
    """Logits [T, B, V], the mean loss, and the detached state after."""
    device = model.output.weight.device
    begins_TB = None if batch.begins_TB is None else batch.begins_TB.to(device)
    logits_TBV, state = model(batch.inputs_TB.to(device), state, begins_TB)
    loss = F.cross_entropy(logits_TBV.flatten(0, 1), batch.targets_TB.to(device).flatten())
    return logits_TBV, loss, detach(state)


def _gradients(loss: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
