"""Shuffled documents, packed into lanes: each epoch's order is another one.

N characters of the text · D documents · T time steps · B lanes
"""

from typing import final

import numpy as np

from charlm.data.permutation import Permutation
from charlm.data.samplers import Sampler, check_sizes
from charlm.errors import UserError

# So many documents of an order share one entry of its table of contents.
BLOCK = 256
# So many ids, or documents, are looked at at a time.
PIECE = 2**20


def document_bounds(ids: np.ndarray, mark_id: int) -> np.ndarray:
    """Where the marks stand, [D + 1]: document d is [bounds[d], bounds[d + 1]), its mark first.

    Of 4 bytes a document while the text has less than 2^32 characters: 40 MB for ten million, and
    twice as much while it is made.

    Raises:
        UserError: there is no whole document.
    """
    dtype = np.uint32 if len(ids) < 2**32 else np.uint64
    found = [
        (np.flatnonzero(ids[start : start + PIECE] == mark_id) + start).astype(dtype)
        for start in range(0, len(ids), PIECE)
    ]
    bounds = np.concatenate(found)
    if len(bounds) < 2:
        raise UserError("The training text has no whole document: supply a longer text.")
    return bounds


@final
class DocumentSampler(Sampler):
    """The documents in a random order of each epoch, one after the other, in B lanes side by side.

    Row b of batch k+1 begins where row b of batch k ended; a lane may begin within a document. The
    last fewer than B·T characters of each epoch's order go untrained in that epoch.

    Args:
        bounds: see ``document_bounds``.
        num_lanes, num_steps, seed: see ``Sampler``.

    Raises:
        UserError: B or T below 1, or documents too short for one batch.
    """

    def __init__(self, bounds: np.ndarray, num_lanes: int, num_steps: int, seed: int = 0) -> None:
        check_sizes(num_lanes, num_steps)
        self.bounds = bounds
        self.num_documents = len(bounds) - 1
        # With the mark that ends the last document.
        num_characters = int(bounds[-1]) - int(bounds[0]) + 1
        super().__init__(num_characters, num_lanes, num_steps, seed, num_lanes * num_steps + 1)
        self._epoch: int | None = None

    def __len__(self) -> int:
        return (self.num_characters - 1) // (self.num_lanes * self.num_steps)

    def continues(self, batch_index: int) -> bool:
        return batch_index > 0

    def places(self, epoch: int, batch_index: int) -> np.ndarray:
        self.check_index(batch_index)
        self._begin(epoch)
        lane_length = len(self) * self.num_steps
        steps = batch_index * self.num_steps + np.arange(self.num_steps + 1)
        rows = [self._places(lane * lane_length + steps) for lane in range(self.num_lanes)]
        return np.stack(rows, axis=1)

    def _begin(self, epoch: int) -> None:
        """Set up an epoch's order: where in it each block of documents begins."""
        if self._epoch == epoch:
            return
        self._order = Permutation(self.num_documents, self.random(epoch))
        sums = []
        for first in range(0, self.num_documents, PIECE):
            documents = np.arange(first, min(first + PIECE, self.num_documents))
            lengths = self._lengths(self._order(documents))
            sums.append(np.add.reduceat(lengths, np.arange(0, len(lengths), BLOCK)))
        self._block_starts = np.append(0, np.cumsum(np.concatenate(sums)))
        self._blocks: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._epoch = epoch

    def _lengths(self, documents: np.ndarray) -> np.ndarray:
        return self.bounds[documents + 1].astype(np.int64) - self.bounds[documents].astype(np.int64)

    def _places(self, positions: np.ndarray) -> np.ndarray:
        """Where in the text the characters of an increasing stretch of the order stand."""
        first = int(np.searchsorted(self._block_starts, positions[0], "right")) - 1
        last = int(np.searchsorted(self._block_starts, positions[-1], "right")) - 1
        blocks = [self._block(k) for k in range(first, min(last, len(self._block_starts) - 2) + 1)]
        in_order = np.concatenate([starts for starts, _ in blocks])
        in_text = np.concatenate([places for _, places in blocks])
        which = np.searchsorted(in_order, positions, "right") - 1
        places: np.ndarray = in_text[which] + (positions - in_order[which])
        # The mark after the order's last document is the text's last.
        places[positions == self.num_characters - 1] = self.bounds[-1]
        return places

    def _block(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Where a block's documents begin, in the order and in the text."""
        if number not in self._blocks:
            if len(self._blocks) >= 4 * self.num_lanes:
                self._blocks.clear()
            first = number * BLOCK
            documents = self._order(np.arange(first, min(first + BLOCK, self.num_documents)))
            ends = self._block_starts[number] + np.cumsum(self._lengths(documents))
            starts = np.append(self._block_starts[number], ends[:-1])
            self._blocks[number] = starts, self.bounds[documents].astype(np.int64)
        return self._blocks[number]
