"""CharDataModule: a corpus, split and cut into batches, for the Trainer."""

import itertools
import math
from functools import cached_property
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerFn

from charlm.data.batch import Batch
from charlm.data.documents import DocumentSampler, document_bounds
from charlm.data.held_out import HeldOut
from charlm.data.loaders import HeldOutBatches, TrainingBatches
from charlm.data.reading import read_text
from charlm.data.samplers import SAMPLERS, LaneSampler, Sampler, share
from charlm.errors import UserError
from charlm.text.encoded import EncodedText
from charlm.text.prefixes import default_prefixes
from charlm.text.sources import absolute
from charlm.text.splitting import Split, split_text

# What a checkpoint keeps of the text itself, beside the options.
FACTS = ("corpus_used", "corpus_digest", "sample_prefixes")
SAMPLINGS = (*SAMPLERS, "documents")
# A row of a batch brings some 64 KiB of a mapped text into memory, however short it is.
BATCHES_PER_RELEASE = 32


class CharDataModule(L.LightningDataModule):
    """Batches of a text for character-level language modelling.

    Args:
        corpus: a corpus by name: time-machine, war-of-the-worlds, tiny-shakespeare, python-docs.
        path: a text of your own: a file, several, a folder, a glob, or - for standard input; plain,
            .gz, .bz2, .xz or .zip (``charlm.text.sources`` says in which order). Where it is given,
            ``corpus`` doesn't count.
        normalisation: ``book``, ``letters`` or ``none`` (``charlm.text.normalisation.normalise``);
            left out, ``book`` for a corpus by name, and ``none`` for a text of your own.
        max_chars: only this many characters, from the start (the book trains on 10,000).
        encoding: of the files at ``path``.
        documents: the text is many short ones, and the state starts anew with each: ``line`` (one
            a line), ``file`` (one a file), or the line that stands between two, "" for an empty one.
        val_size: the part held out for validation, as a fraction or a number of characters; of
            documents, it begins with one.
        test_size: the same for the test; the text is split in the order train, val, test.
        sampling: ``sequential`` (lanes, the state carried), ``random`` (shuffled windows), or
            ``documents`` (shuffled documents, packed into lanes).
        num_lanes: B, the rows of a training batch.
        num_steps: T, the characters of a row: how far back-propagation reaches.
        num_steps_jitter: of a sequential partition, the border between two batches moves by up to so
            many characters by chance, so that back-propagation isn't always cut at the same places.
        carry: false resets the state at every batch of a sequential partition too: what the book's
            use_random_iter=True does with an iterator that was built sequential.
        val_num_lanes: the rows in which held-out text is read; each begins without context.
        val_num_steps: the characters a held-out batch is cut into; doesn't change the result.
        fallback: the corpus to take when ``corpus`` is neither here nor to be downloaded.
        seed: of the epochs' offsets and orders.
        allow_changed_corpus: go on from a checkpoint although it was trained on another text; that
            one's vocabulary is kept. In mid-epoch the next batch follows, or the next epoch where this
            text has no more batches.
        base_vocabulary: encode by this one (``Vocabulary.config``), not by the text's own; what it
            lacks is read as ``<unk>``. On the command line, it is the checkpoint's.

    Raises:
        UserError: an unknown name, a file that can't be read, a text too short to be split or
            to fill one batch.
    """

    def __init__(
        self,
        corpus: str = "time-machine",
        path: str | list[str] | None = None,
        normalisation: str | None = None,
        max_chars: int | None = None,
        encoding: str = "utf-8",
        documents: str | None = None,
        val_size: int | float = 0,
        test_size: int | float = 0,
        sampling: str = "sequential",
        num_lanes: int = 32,
        num_steps: int = 35,
        num_steps_jitter: int = 0,
        carry: bool = True,
        val_num_lanes: int = 1,
        val_num_steps: int = 512,
        fallback: str | None = None,
        seed: int = 0,
        allow_changed_corpus: bool = False,
        base_vocabulary: dict[str, list[str] | str] | None = None,
    ) -> None:
        super().__init__()
        # Where the epoch began that was under way when the run began: its number, and how many
        # batches were trained on before it.
        self._epoch_began = (0, 0)
        self._num_batches = itertools.count(1)
        if sampling not in SAMPLINGS:
            raise UserError(f"Unknown sampling {sampling!r}: choose one of {', '.join(SAMPLINGS)}.")
        # Not for the logger to merge with the model's, which has an `encoding` of another kind.
        self.save_hyperparameters(logger=False)
        # Whatever folder a run is resumed from.
        self.hparams["path"] = absolute(path)
        base = base_vocabulary or {}
        for name, given, default in (
            ("normalisation", normalisation, "book" if path is None else "none"),
            ("documents", documents, None),
        ):
            decided = base.get(name) if base else default if given is None else given
            if given is not None and given != decided:
                raise UserError(
                    f"data.{name} {given} isn't that of the vocabulary which is kept ({decided}): "
                    "leave it out."
                )
            self.hparams[name] = decided
        for name in ("num_lanes", "num_steps", "val_num_lanes", "val_num_steps"):
            if self.hparams[name] < 1:
                raise UserError(f"{name} is {self.hparams[name]}: it must be at least 1.")
        if num_steps_jitter and sampling != "sequential":
            raise UserError(
                f"data.num_steps_jitter goes with data.sampling sequential, not with {sampling}: leave "
                "one of the two out."
            )
        if sampling == "documents" and self.hparams["documents"] is None:
            raise UserError(
                "data.sampling documents shuffles documents: say with data.documents what they are."
            )

    def __str__(self) -> str:
        # Lightning's would read the text, and can't count its batches.
        return f"<CharDataModule of {self.hparams['path'] or self.hparams['corpus']}>"

    @cached_property
    def text(self) -> EncodedText:
        """The encoded corpus, read (or downloaded) when it is first asked for."""
        return read_text(self.hparams)

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
        return split_text(self.text, self.hparams["val_size"], self.hparams["test_size"])

    @property
    def num_training_characters(self) -> int:
        """The training text's length, by which a model may be sized."""
        return len(self.split.train)

    @cached_property
    def sampler(self) -> Sampler:
        """Which characters form batch k of epoch e."""
        options: Any = self.hparams
        sizes = (options.num_lanes, options.num_steps, options.seed)
        mark_id = self.text.vocabulary.mark_id
        if options.sampling == "documents" and mark_id is not None:
            bounds = document_bounds(self._part(self.split.train), mark_id)
            self.text.release()
            return DocumentSampler(bounds, *sizes)
        if options.num_steps_jitter:
            return LaneSampler(len(self.split.train), *sizes, options.num_steps_jitter)
        return SAMPLERS[options.sampling](len(self.split.train), *sizes)

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
            self.text.vocabulary.mark_id,
            self.trainer,
        )

    def val_dataloader(self) -> HeldOutBatches:
        if not len(self.split.val):
            raise UserError("There is no validation text: set data.val_size.")
        return self._held_out(self.split.val)

    def test_dataloader(self) -> HeldOutBatches:
        if not len(self.split.test):
            raise UserError("There is no test text: set data.test_size.")
        return self._held_out(self.split.test)

    def predict_dataloader(self) -> HeldOutBatches:
        """The test text; without one, the validation text."""
        return self.test_dataloader() if len(self.split.test) else self.val_dataloader()

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        # Every batch of any loop comes by here; of a mapped text, what was read is let go of.
        if next(self._num_batches) % BATCHES_PER_RELEASE == 0:
            self.text.release()
        inputs_TB, targets_TB, continues, begins_TB = batch
        # On Apple's GPUs a copy that isn't waited for may be used before it is there.
        at_once = device.type == "cuda"
        return Batch(
            inputs_TB.to(device, non_blocking=at_once),
            targets_TB.to(device, non_blocking=at_once),
            continues,
            None if begins_TB is None else begins_TB.to(device, non_blocking=at_once),
        )

    def _part(self, bounds: range) -> np.ndarray:
        return self.text.ids[bounds.start : bounds.stop]

    def _held_out(self, bounds: range) -> HeldOutBatches:
        options: Any = self.hparams
        mark_id = self.text.vocabulary.mark_id
        sizes = (options.val_num_lanes, options.val_num_steps)
        return HeldOutBatches(HeldOut(self._part(bounds), *sizes, mark_id=mark_id), *self._process)

    @property
    def _process(self) -> tuple[int, int]:
        """Which of the processes that train together this is, and how many they are."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _position(self, trainer: L.Trainer | None) -> tuple[int, int]:
        """Where a Trainer stands: (epoch, index of the next batch), by batches trained on.

        ``current_epoch`` would not do: a run that ended in mid-epoch (``max_steps``) has it one too
        high.
        """
        if trainer is None or not trainer.training:
            return 0, 0  # someone looks at the batches
        batch_index = trainer.fit_loop.batch_idx + 1
        if trainer.overfit_batches:  # type: ignore[attr-defined]
            return 0, batch_index  # the same ones in each epoch
        if batch_index == 0 and trainer is self.trainer:
            epoch, began = self._epoch_began
            progress: Any = trainer.fit_loop.epoch_loop.batch_progress.total
            if (progress.processed - began) % int(trainer.num_training_batches):
                # The run went on in mid-epoch with a text that has fewer batches: that epoch is over.
                self._epoch_began = epoch + 1, progress.processed
        return self._epoch_under_way(trainer), batch_index

    def _epoch_under_way(self, trainer: L.Trainer) -> int:
        began_epoch, began_batch = self._epoch_began if trainer is self.trainer else (0, 0)
        progress: Any = trainer.fit_loop.epoch_loop.batch_progress.total
        return began_epoch + (progress.processed - began_batch) // int(trainer.num_training_batches)

    # In a checkpoint, since an epoch may have another number of batches in the run that goes on.

    def state_dict(self) -> dict[str, Any]:
        trainer = self.trainer
        if trainer is None or trainer.state.fn != TrainerFn.FITTING:
            return {}
        began_epoch, began_batch = self._epoch_began
        if math.isinf(trainer.num_training_batches):
            return {"epoch": began_epoch, "batches": began_batch}  # before the first batch
        epochs = self._epoch_under_way(trainer) - began_epoch
        num_batches = epochs * int(trainer.num_training_batches)
        return {"epoch": began_epoch + epochs, "batches": began_batch + num_batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict:
            self._epoch_began = state_dict["epoch"], state_dict["batches"]
