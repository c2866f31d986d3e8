"""Trained networks that read a text side by side, and predict it as one.

N characters of a text
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from charlm.checkpoint import Trained, contents, load
from charlm.errors import UserError
from charlm.evaluation.dynamic import DynamicEvaluation, dynamic_predictions, gradient_rms
from charlm.evaluation.mixture import average, mix
from charlm.evaluation.ngram import NGram
from charlm.evaluation.scoring import Prediction, predictions
from charlm.text.vocabulary import Vocabulary

# The predictions of a text's ids [N]; those of each network by itself.
Reading = Callable[[np.ndarray], Iterator[Prediction]]
Members = Callable[[np.ndarray], list[Iterator[Prediction]]]

# The windows that stand beside the carried state in a comparison: nanoGPT's.
WINDOW = 256


class Networks:
    """The networks of one or more checkpoints.

    Args:
        checkpoints: files that charlm fit wrote, or folders that charlm export wrote.
        backend: how the layers are unrolled over time.
        device: where they run.

    Raises:
        UserError: no checkpoint is named, one can't be read (``charlm.checkpoint.load``), or two
            have different vocabularies.
    """

    def __init__(self, checkpoints: Sequence[Path], backend: str, device: str) -> None:
        if not checkpoints:
            raise UserError("Name a checkpoint with --checkpoint FILE; of several, each so.")
        self.paths = checkpoints
        self.trained: list[Trained] = []
        for path in checkpoints:
            self.trained.append(load(path, device))
            self.trained[-1].model.backend = backend
            if self.trained[-1].vocabulary != self.vocabulary:
                raise UserError(
                    f"{path} has another vocabulary or normalisation than {checkpoints[0]}: only "
                    "networks of the same symbols can be averaged."
                )

    @property
    def vocabulary(self) -> Vocabulary:
        return self.trained[0].vocabulary

    @property
    def title(self) -> str:
        """The layers and the files, such as "LSTM 256 (last.ckpt)"."""
        layers = dict.fromkeys(
            " + ".join(f"{type(cell).__name__} {cell.hidden_size}" for cell in trained.model.cells)
            for trained in self.trained
        )
        return f"{', '.join(layers)} ({', '.join(path.name for path in self.paths)})"

    def data(self) -> Any:
        """The options of the first one's training text; None where the checkpoint has none."""
        return contents(self.paths[0]).get("datamodule_hyper_parameters")

    def static(self, lanes: int = 1, window: int | None = None) -> Members:
        """With the weights as they are; see ``charlm.evaluation.scoring.check_protocol``."""
        return lambda ids: [
            predictions(each.model, ids, lanes, window, mark_id=self.vocabulary.mark_id)
            for each in self.trained
        ]

    def settings(self, **given: float | None) -> list[DynamicEvaluation]:
        """Each network's settings of dynamic evaluation: see ``DynamicEvaluation.of``."""
        return [
            DynamicEvaluation.of(contents(path)["hyper_parameters"], **given) for path in self.paths
        ]

    def dynamic(self, settings: Sequence[DynamicEvaluation], training_ids: np.ndarray) -> Members:
        """With weights that go on learning, each network's on its own."""
        mark_id = self.vocabulary.mark_id
        learning = [
            (trained.model, each, gradient_rms(trained.model, training_ids, each.segment, mark_id))
            for trained, each in zip(self.trained, settings, strict=True)
        ]
        return lambda ids: [
            dynamic_predictions(model, ids, each, rms, mark_id) for model, each, rms in learning
        ]


def averaged(members: Members) -> Reading:
    """By the mean of the members' probabilities."""
    return lambda ids: average(members(ids))


def with_ngram(members: Members, ngram: NGram) -> Reading:
    """Mixed with the n-gram model, by weights of each that are learnt as the text is read."""
    return lambda ids: mix([*members(ids), ngram.predictions(ids)], ids)
