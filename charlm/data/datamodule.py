"""CharDataModule: a corpus, split and cut into batches, for the Trainer."""

import contextlib
import fcntl
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from charlm.data.held_out import HeldOut
from charlm.data.samplers import IGNORED, SAMPLERS, Batch, Sampler, gather, share
from charlm.errors import UserError
from charlm.text.corpora import CorpusUnavailable, Split, cache_directory, split
from charlm.text.encoding import EncodedText, encode_corpus
from charlm.text.prefixes import default_prefixes

# What a checkpoint keeps of the text itself, beside the options.
FACTS = ("corpus_used", "corpus_digest", "sample_prefixes")
# A row of a batch brings some 64 KiB of a mapped text into memory, however short it is.
BATCHES_PER_RELEASE = 32


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Of the processes of one machine that train together, the first downloads and encodes; the
    others then find what it left. Where no lock can be had, each does it for itself."""
    with contextlib.ExitStack() as stack:
        if not {"LOCAL_RANK", "SLURM_LOCALID"}.isdisjoint(os.environ):
            with contextlib.suppress(OSError):
                cache_directory().mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context(open(cache_directory() / ".lock", "w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@rank_zero_only
def tell(message: str) -> None:
    print(f"charlm: {message}", file=sys.stderr)


class TrainingBatches:
    """The batches that are left of the epoch in which the Trainer stands.

    It has a length and keeps no position: at the first batch it asks where training stands, so
    that a resumed epoch goes on with the batch it would have had.

    Args:
        ids: the training text, [N].
        sampler: which characters form a batch.
        position: returns (epoch, index of the next batch).
        lanes: those of this process.
        carry: whether a batch may go on where the one before ended.
    """

    def __init__(
        self,
        ids: np.ndarray,
        sampler: Sampler,
        position: Callable[[], tuple[int, int]],
        lanes: slice,
        carry: bool = True,
    ) -> None:
        self.ids = ids
        self.sampler = sampler
        self.position = position
        self.lanes = lanes
        self.carry = carry

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        epoch, first = self.position()
        for batch_index in range(first, len(self)):
            starts = self.sampler.starts(epoch, batch_index)[self.lanes]
            inputs_TB, targets_TB = gather(self.ids, starts, self.sampler.num_steps)
            continues = self.carry and self.sampler.continues(batch_index)
            yield Batch(inputs_TB, targets_TB, continues)

    # The Trainer takes a loader with these two for resumable: and it is, having no state.
    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass


class HeldOutBatches:
    """A held-out text from left to right, each character after the first a target once.

    Args:
        held_out: its batches.
        process: which of the processes that divide its lanes among them, as evenly as can be.
        num_processes: how many they are.
    """

    def __init__(self, held_out: HeldOut, process: int = 0, num_processes: int = 1) -> None:
        self.held_out = held_out
        num_lanes = held_out.num_lanes
        self.lanes = slice(
            process * num_lanes // num_processes, (process + 1) * num_lanes // num_processes
        )

    def __len__(self) -> int:
        return len(self.held_out)

    def __iter__(self) -> Iterator[Batch]:
        for batch_index in range(len(self)):
            inputs_TB, targets_TB, continues = self.held_out.batch(batch_index)
            if self.lanes.start == self.lanes.stop:
                # A process without a lane keeps step with the others.
                yield Batch(
                    inputs_TB[:, :1], torch.full_like(targets_TB[:, :1], IGNORED), continues
                )
            else:
                yield Batch(inputs_TB[:, self.lanes], targets_TB[:, self.lanes], continues)


class CharDataModule(L.LightningDataModule):
    """Batches of a text for character-level language modelling.

    Args:
        corpus: a corpus by name: time-machine, war-of-the-worlds, tiny-shakespeare, python-docs.
        path: a text file of your own; where it is given, ``corpus`` doesn't count.
        normalisation: ``book``, ``letters`` or ``none`` (``charlm.text.normalisation.normalise``);
            left out, ``book`` for a corpus by name, and ``none`` for a text of your own.
        max_chars: only this many characters, from the start (the book trains on 10,000).
        encoding: of the file at ``path``.
        val_size: the part held out for validation, as a fraction or a number of characters.
        test_size: the same for the test; the text is split in the order train, val, test.
        sampling: ``sequential`` (lanes, the state carried) or ``random`` (shuffled windows).
        num_lanes: B, the rows of a training batch.
        num_steps: T, the characters of a row: how far back-propagation reaches.
        carry: false resets the state at every batch of a sequential partition too: what the book's
            use_random_iter=True does with an iterator that was built sequential.
        val_num_lanes: the rows in which held-out text is read; each begins without context.
        val_num_steps: the characters a held-out batch is cut into; doesn't change the result.
        fallback: the corpus to take when ``corpus`` is neither here nor to be downloaded.
        seed: of the epochs' offsets and orders.
        allow_changed_corpus: go on from a checkpoint though it was trained on another text.

    Raises:
        UserError: an unknown name, a file that can't be read, a text too short to be split or
            to fill one batch.
    """

    def __init__(
        self,
        corpus: str = "time-machine",
        path: str | None = None,
        normalisation: str | None = None,
        max_chars: int | None = None,
        encoding: str = "utf-8",
        val_size: int | float = 0,
        test_size: int | float = 0,
        sampling: str = "sequential",
        num_lanes: int = 32,
        num_steps: int = 35,
        carry: bool = True,
        val_num_lanes: int = 1,
        val_num_steps: int = 512,
        fallback: str | None = None,
        seed: int = 0,
        allow_changed_corpus: bool = False,
    ) -> None:
        super().__init__()
        # Where the epoch began that was under way when the run began: its number, and how many
        # batches were trained on before it.
        self._epoch_began = (0, 0)
        self._num_batches = itertools.count(1)
        if sampling not in SAMPLERS:
            raise UserError(f"Unknown sampling {sampling!r}: choose one of {', '.join(SAMPLERS)}.")
        # Not for the logger to merge with the model's, which has an `encoding` of another kind.
        self.save_hyperparameters(logger=False)
        if normalisation is None:
            self.hparams["normalisation"] = "book" if path is None else "none"

    @cached_property
    def text(self) -> EncodedText:
        """The encoded corpus, read (or downloaded) when it is first asked for."""
        options: Any = self.hparams
        arguments = (options.normalisation, options.max_chars, options.encoding)
        try:
            corpus = options.corpus if options.path is None else None
            with one_at_a_time():
                text = encode_corpus(corpus, options.path, *arguments)
        except CorpusUnavailable as unavailable:
            if options.fallback is None:
                raise
            print(
                f"*** Training on {options.fallback} INSTEAD of {options.corpus}: {unavailable}",
                file=sys.stderr,
            )
            text = encode_corpus(options.fallback, None, *arguments)
        if options.path is not None and text.losses.is_worth_telling:
            tell(text.losses.sentence(text.name, options.normalisation))
        return text

    @property
    def vocabulary(self) -> dict[str, Any]:
        """The vocabulary with its normalisation, in plain types: the model's own argument."""
        return self.text.vocabulary.config

    @cached_property
    def sample_prefixes(self) -> tuple[str, ...]:
        """What to continue where nobody says it."""
        return default_prefixes(self.text)

    @property
    def corpus_used(self) -> dict[str, Any]:
        """What a checkpoint keeps of the text: its name, its digest, and prefixes from it."""
        return {
            "corpus_used": self.text.name,
            "corpus_digest": self.text.digest,
            "sample_prefixes": list(self.sample_prefixes),
        }

    @cached_property
    def split(self) -> Split:
        """Where the text is divided into training, validation and test text."""
        return split(len(self.text.ids), self.hparams["val_size"], self.hparams["test_size"])

    @property
    def num_training_characters(self) -> int:
        """The training text's length, by which a model may be sized."""
        return len(self.split.train)

    @cached_property
    def sampler(self) -> Sampler:
        """Which characters form batch k of epoch e."""
        options: Any = self.hparams
        return SAMPLERS[options.sampling](
            len(self.split.train), options.num_lanes, options.num_steps, options.seed
        )

    def prepare_data(self) -> None:
        # By one process of each machine, before the others ask for it.
        _ = self.text

    def setup(self, stage: str) -> None:
        self._epoch_began = (0, 0)
        self.save_hyperparameters(self.corpus_used, logger=False)
        if stage == "fit" and not len(self.split.val):
            # The Trainer validates exactly when this method isn't Lightning's own.
            self.val_dataloader = super().val_dataloader  # type: ignore[method-assign]
        # Say what is wrong with the text or the sizes before anything else is set up.
        if stage == "fit":
            _ = self.sampler
            share(self.sampler.num_lanes, *self._process)

    def train_dataloader(self) -> TrainingBatches:
        lanes = share(self.sampler.num_lanes, *self._process)
        return TrainingBatches(
            self._part(self.split.train),
            self.sampler,
            self._position,
            lanes,
            self.hparams["carry"],
        )

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
            HeldOut(self._part(bounds), options.val_num_lanes, options.val_num_steps),
            *self._process,
        )

    @property
    def _process(self) -> tuple[int, int]:
        """Which of the processes that train together this is, and how many they are."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _position(self) -> tuple[int, int]:
        """Where the Trainer stands: (epoch, index of the next batch), by batches trained on.

        ``current_epoch`` would not do: a run that ended in mid-epoch (``max_steps``) has it one too
        high.
        """
        assert self.trainer is not None
        began_epoch, began_batch = self._epoch_began
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.total
        num_batches = int(self.trainer.num_training_batches)
        epochs = (progress.processed - began_batch) // num_batches
        return began_epoch + epochs, self.trainer.fit_loop.batch_idx + 1

    # In a checkpoint, since an epoch may have another number of batches in the run that goes on.

    def state_dict(self) -> dict[str, Any]:
        assert self.trainer is not None
        if self.trainer.state.fn != TrainerFn.FITTING:
            return {}
        began_epoch, began_batch = self._epoch_began
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.total
        num_batches = int(self.trainer.num_training_batches)
        epochs = (progress.processed - began_batch) // num_batches
        return {"epoch": began_epoch + epochs, "batches": began_batch + epochs * num_batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._epoch_began = state_dict["epoch"], state_dict["batches"]
