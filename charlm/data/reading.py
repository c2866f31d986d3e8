"""The text of a run: read by one process of a machine at a time, and what is to be said of it."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from filelock import FileLock
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from charlm.text.corpora import CorpusUnavailable, cache_directory
from charlm.text.encoded import EncodedText
from charlm.text.encoding import encode_corpus
from charlm.text.splitting import is_one_document
from charlm.text.vocabulary import Vocabulary


def read_text(options: Any) -> EncodedText:
    """The encoded text that the options of a ``CharDataModule`` name, or the one to fall back on.

    Raises:
        UserError: see ``encode_corpus``.
    """
    arguments: dict[str, Any] = {
        name: options[name] for name in ("normalisation", "max_chars", "encoding", "documents")
    }
    if options.base_vocabulary is not None:
        arguments["vocabulary"] = Vocabulary.from_config(options.base_vocabulary)
    try:
        corpus = options.corpus if options.path is None else None
        with one_at_a_time():
            text = encode_corpus(corpus, options.path, **arguments)
    except CorpusUnavailable as unavailable:
        if options.fallback is None:
            raise
        print(
            f"*** Training on {options.fallback} INSTEAD of {options.corpus}: {unavailable}",
            file=sys.stderr,
        )
        text = encode_corpus(options.fallback, None, **arguments)
    if options.path is not None and text.losses.is_worth_telling:
        tell(text.losses.sentence(text.name, options.normalisation))
    if text.unknown.num_lost:
        tell(text.unknown.unknown_sentence(text.name))
    if is_one_document(text):
        tell(f"By data.documents {options.documents!r} all of {text.name} is one single document.")
    return text


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Of the processes of one machine that train together, the first downloads and encodes; the
    others then find what it left. Where no lock can be had, each does it for itself."""
    with contextlib.ExitStack() as stack:
        if not {"LOCAL_RANK", "SLURM_LOCALID"}.isdisjoint(os.environ):
            with contextlib.suppress(OSError, NotImplementedError):
                cache_directory().mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(cache_directory() / ".lock"))
        yield


@rank_zero_only
def tell(message: str) -> None:
    print(f"charlm: {message}", file=sys.stderr)
