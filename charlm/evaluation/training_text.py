"""The training text of a checkpoint, read again."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from charlm.errors import UserError
from charlm.text.corpora import CORPORA, split
from charlm.text.encoding import encode_corpus

OPTIONS = ("normalisation", "max_chars", "encoding")


def training_ids(data: Mapping[str, Any] | None) -> np.ndarray:
    """The ids [N] of the characters that a model was trained on.

    Args:
        data: the data module's options in the checkpoint (``datamodule_hyper_parameters``).

    Raises:
        UserError: the checkpoint doesn't tell them, the text can't be had, or it has changed.
    """
    if not data or "corpus_digest" not in data:
        raise UserError("The checkpoint doesn't tell what text it was trained on.")
    name = data["corpus_used"]
    is_corpus = data["path"] is None and name in CORPORA
    try:
        text = encode_corpus(
            name if is_corpus else None,
            None if is_corpus else data["path"],
            *(data[option] for option in OPTIONS),
        )
    except UserError as error:
        raise UserError(f"The training text can't be read again: {error}") from error
    if text.digest != data["corpus_digest"]:
        raise UserError(f"The training text {name} has changed since the model was trained.")
    train = split(len(text.ids), data["val_size"], data["test_size"]).train
    return text.ids[train.start : train.stop]
