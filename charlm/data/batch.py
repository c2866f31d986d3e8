"""A batch: its characters, the characters after them, and where its rows begin anew.

T time steps · B lanes (rows)
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Where a row of an evaluation batch has run out of text: torch's own cross-entropy skips it.
IGNORED = -100


class Batch(NamedTuple):
    """B rows of T characters each, and the character after each.

    ``continues`` says whether row b goes on where row b of the batch before ended; if not, every
    row starts anew, from the zero state. ``begins_TB`` (bool) says where a document begins, before
    whose first symbol the state is zero, too; none: nowhere in the batch.
    """

    inputs_TB: Tensor
    targets_TB: Tensor
    continues: bool
    begins_TB: Tensor | None = None


def take(ids: np.ndarray, places: np.ndarray) -> tuple[Tensor, Tensor]:
    """Inputs and targets [T, B] of the rows that stand at ``places``, [T + 1, B]."""
    rows_TB = torch.from_numpy(ids[places].astype(np.int64))
    return rows_TB[:-1], rows_TB[1:]


def gather(ids: np.ndarray, starts: np.ndarray, num_steps: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets [T, B] of the rows that begin at ``starts``: targets are one further."""
    return take(ids, starts + np.arange(num_steps + 1)[:, None])


def begins(inputs_TB: Tensor, mark_id: int | None) -> Tensor | None:
    """Where documents begin (bool): at the marks before them; none without documents or marks.

    Args:
        mark_id: ``Vocabulary.mark_id``.
    """
    if mark_id is None:
        return None
    begins_TB = inputs_TB == mark_id
    return begins_TB if bool(begins_TB.any()) else None
