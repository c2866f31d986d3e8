"""CharDataModule: a corpus, split and cut into batches, for the Trainer."""

import itertools
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import lightning as L
import numpy as np
import torch

from charlm.batching import SAMPLERS, Batch, HeldOut, Sampler, gather
from charlm.corpora import CorpusUnavailable, Split, split
from charlm.encoded import EncodedText, encode_corpus
from charlm.errors import UserError

# A row of a batch brings some 64 KiB of a mapped text into memory, however short it is.
BATCHES_PER_RELEASE = 32


class TrainingBatches:
    """The batches that are left of the epoch in which the Trainer stands.

    It has a length and keeps no position: at the first batch it asks where training stands, so
    that a resumed epoch goes on with the batch it would have had.

    Args:
        ids: the training text, [N].
        sampler: which characters form a batch.
        position: returns (epoch, index of the next batch).
    """

    def __init__(
        self, ids: np.ndarray, sampler: Sampler, position: Callable[[], tuple[int, int]]
    ) -> None:
        self.ids = ids
        self.sampler = sampler
        self.position = position

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        epoch, first = self.position()
        for batch_index in range(first, len(self)):
            starts = self.sampler.starts(epoch, batch_index)
            inputs_TB, targets_TB = gather(self.ids, starts, self.sampler.num_steps)
            yield Batch(inputs_TB, targets_TB, self.sampler.continues(batch_index))

    # The Trainer takes a loader with these two for resumable: and it is, having no state.
    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass


class HeldOutBatches:
    """A held-out text from left to right, each character after the first a target once."""

    def __init__(self, held_out: HeldOut) -> None:
        self.held_out = held_out

    def __len__(self) -> int:
        return len(self.held_out)

    def __iter__(self) -> Iterator[Batch]:
        for batch_index in range(len(self)):
            yield self.held_out.batch(batch_index)


class CharDataModule(L.LightningDataModule):
    """Batches of a text for character-level language modelling.

    Args:
        corpus: a corpus by name: time-machine, war-of-the-worlds, tiny-shakespeare, python-docs.
        path: a text file of your own; where it is given, ``corpus`` doesn't count.
        normalisation: ``book``, ``letters`` or ``none`` (``charlm.vocabulary.normalise``).
        max_chars: only this many characters, from the start (the book trains on 10,000).
        encoding: of the file at ``path``.
        val_size: the part held out for validation, as a fraction or a number of characters.
        test_size: the same for the test; the text is split in the order train, val, test.
        sampling: ``sequential`` (lanes, the state carried) or ``random`` (shuffled windows).
        num_lanes: B, the rows of a training batch.
        num_steps: T, the characters of a row: how far back-propagation reaches.
        val_num_lanes: the rows in which held-out text is read; each begins without context.
        val_num_steps: the characters a held-out batch is cut into; doesn't change the result.
        fallback: the corpus to take when ``corpus`` is neither here nor to be downloaded.
        seed: of the epochs' offsets and orders.

    Raises:
        UserError: an unknown name, a file that can't be read, a text too short to be split or
            to fill one batch.
    """

    def __init__(
        self,
        corpus: str = "time-machine",
        path: str | None = None,
        normalisation: str = "book",
        max_chars: int | None = None,
        encoding: str = "utf-8",
        val_size: int | float = 0,
        test_size: int | float = 0,
        sampling: str = "sequential",
        num_lanes: int = 32,
        num_steps: int = 35,
        val_num_lanes: int = 1,
        val_num_steps: int = 512,
        fallback: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._num_batches = itertools.count(1)
        if sampling not in SAMPLERS:
            raise UserError(f"Unknown sampling {sampling!r}: choose one of {', '.join(SAMPLERS)}.")
        # Not for the logger to merge with the model's, which has an `encoding` of another kind.
        self.save_hyperparameters(logger=False)

    @cached_property
    def text(self) -> EncodedText:
        """The encoded corpus, read (or downloaded) when it is first asked for."""
        options: Any = self.hparams
        arguments = (options.normalisation, options.max_chars, options.encoding)
        try:
            corpus = options.corpus if options.path is None else None
            return encode_corpus(corpus, options.path, *arguments)
        except CorpusUnavailable as unavailable:
            if options.fallback is None:
                raise
            print(
                f"*** Training on {options.fallback} INSTEAD of {options.corpus}: {unavailable}",
                file=sys.stderr,
            )
            return encode_corpus(options.fallback, None, *arguments)

    @property
    def vocabulary(self) -> dict[str, Any]:
        """The vocabulary with its normalisation, in plain types: the model's own argument."""
        return self.text.vocabulary.config

    @cached_property
    def split(self) -> Split:
        """Where the text is divided into training, validation and test text."""
        return split(len(self.text.ids), self.hparams["val_size"], self.hparams["test_size"])

    @cached_property
    def sampler(self) -> Sampler:
        """Which characters form batch k of epoch e."""
        options: Any = self.hparams
        return SAMPLERS[options.sampling](
            len(self.split.train), options.num_lanes, options.num_steps, options.seed
        )

    def setup(self, stage: str) -> None:
        self.save_hyperparameters(
            {"corpus_used": self.text.name, "corpus_digest": self.text.digest}, logger=False
        )
        if stage == "fit" and not len(self.split.val):
            # The Trainer validates exactly when this method isn't Lightning's own.
            self.val_dataloader = super().val_dataloader  # type: ignore[method-assign]
        # Say what is wrong with the text or the sizes before anything else is set up.
        if stage == "fit":
            _ = self.sampler

    def train_dataloader(self) -> TrainingBatches:
        return TrainingBatches(self._part(self.split.train), self.sampler, self._position)

    def val_dataloader(self) -> HeldOutBatches:
        if not len(self.split.val):
            raise UserError("There is no validation text: set data.val_size.")
        return self._held_out(self.split.val)

    def test_dataloader(self) -> HeldOutBatches:
        if not len(self.split.test):
            raise UserError("There is no test text: set data.test_size.")
        return self._held_out(self.split.test)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        # Every batch of any loop comes by here; of a mapped text, what was read is let go of.
        if next(self._num_batches) % BATCHES_PER_RELEASE == 0:
            self.text.release()
        inputs_TB, targets_TB, continues = batch
        return Batch(
            inputs_TB.to(device, non_blocking=True),
            targets_TB.to(device, non_blocking=True),
            continues,
        )

    def _part(self, bounds: range) -> np.ndarray:
        return self.text.ids[bounds.start : bounds.stop]

    def _held_out(self, bounds: range) -> HeldOutBatches:
        options: Any = self.hparams
        return HeldOutBatches(
            HeldOut(self._part(bounds), options.val_num_lanes, options.val_num_steps)
        )

    def _position(self) -> tuple[int, int]:
        """Where the Trainer stands: (epoch, index of the next batch), by batches completed.

        ``current_epoch`` would not do: a run that was stopped on an epoch's last batch under
        ``max_steps`` has it one too high.
        """
        assert self.trainer is not None
        fit_loop = self.trainer.fit_loop
        completed = fit_loop.epoch_loop.batch_progress.total.completed
        return completed // int(self.trainer.num_training_batches), fit_loop.batch_idx + 1
