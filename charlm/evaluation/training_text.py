"""The text of a checkpoint, read again: what it was trained on, and what was held out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from charlm.errors import UserError
from charlm.text.corpora import CORPORA
from charlm.text.encoding import encode_corpus
from charlm.text.splitting import split_text
from charlm.text.vocabulary import Vocabulary

OPTIONS = ("normalisation", "max_chars", "encoding")
PARTS = ("train", "val", "test")
REPLACEMENT = "\ufffd"


class Part(NamedTuple):
    """A part of a text.

    Args:
        name: of the text.
        ids: [N], by the text's own vocabulary.
    """

    name: str
    ids: np.ndarray
    vocabulary: Vocabulary

    @property
    def text(self) -> str:
        """Of as many characters, U+FFFD for each that the vocabulary lacks."""
        symbols = [REPLACEMENT, *self.vocabulary.symbols[1:]]
        return "".join(symbols[i] for i in self.ids)


def read_part(data: Mapping[str, Any] | None, part: str = "train") -> Part:
    """The characters that a model was trained on, or of the same text those held out.

    Args:
        data: the data module's options in the checkpoint (``datamodule_hyper_parameters``).
        part: train, val or test.

    Raises:
        UserError: the checkpoint doesn't tell them, the text can't be had, or it has changed; there
            is no such part, or nothing in it.
    """
    if part not in PARTS:
        raise UserError(f"Unknown part {part!r} of the text: choose one of {', '.join(PARTS)}.")
    if not data or "corpus_digest" not in data:
        raise UserError("The checkpoint doesn't tell what text it was trained on.")
    name = data["corpus_used"]
    base = data.get("base_vocabulary")
    is_corpus = data["path"] is None and name in CORPORA
    try:
        text = encode_corpus(
            name if is_corpus else None,
            None if is_corpus else data["path"],
            **{option: data[option] for option in OPTIONS},
            documents=data.get("documents"),
            vocabulary=Vocabulary.from_config(base) if base else None,
        )
    except UserError as error:
        raise UserError(f"The training text can't be read again: {error}") from error
    if text.digest != data["corpus_digest"]:
        raise UserError(f"The training text {name} has changed since the model was trained.")
    bounds = getattr(split_text(text, data["val_size"], data["test_size"]), part)
    if not len(bounds):
        raise UserError(f"Nothing of {name} was held out as {part} (data.{part}_size is 0).")
    return Part(name, text.ids[bounds.start : bounds.stop], text.vocabulary)
