"""A text divided into training, validation and test text, in this order."""

from typing import NamedTuple

import numpy as np

from charlm.errors import UserError
from charlm.text.encoded import PIECE_BYTES, EncodedText


class Split(NamedTuple):
    """Which characters [start, stop) form each part."""

    train: range
    val: range
    test: range


def split(num_characters: int, val_size: float, test_size: float) -> Split:
    """Cut a text of ``num_characters`` into train, val and test, contiguous and in this order.

    Args:
        num_characters: length of the text.
        val_size: part held out for validation: a fraction below 1 (float), or a number of
            characters (int); 0 for none.
        test_size: the same for testing.

    Raises:
        UserError: a size is out of range, or a part that is wanted would be empty.
    """
    num_val = _num_held_out("val_size", val_size, num_characters)
    num_test = _num_held_out("test_size", test_size, num_characters)
    num_train = num_characters - num_val - num_test
    if num_train <= 0:
        raise UserError(
            f"Nothing is left to train on: of {num_characters:,} characters, val_size={val_size} "
            f"holds out {num_val:,} and test_size={test_size} {num_test:,}; make them smaller."
        )
    return Split(
        train=range(num_train),
        val=range(num_train, num_train + num_val),
        test=range(num_train + num_val, num_characters),
    )


def _num_held_out(argument: str, size: float, num_characters: int) -> int:
    if isinstance(size, int):
        if size < 0:
            raise UserError(f"{argument}={size} is below zero: give a fraction or a count.")
        return size
    if not 0 <= size < 1:  # NaN, too
        raise UserError(
            f"{argument}={size} is no fraction in [0, 1): write a number of characters without "
            "decimal point."
        )
    num_held_out = round(size * num_characters)
    if size > 0 and num_held_out == 0:
        raise UserError(
            f"{argument}={size} of {num_characters:,} characters is less than one character: "
            f"make it larger, 0 for none, or take a longer text."
        )
    return num_held_out


def split_text(text: EncodedText, val_size: float, test_size: float) -> Split:
    """``split`` of an encoded text; of documents, each part begins with a mark and ends with one.

    So no document is divided, and neighbouring parts share the mark between them, which the one
    before has as its last target, and the one after as its first input.

    Raises:
        UserError: see ``split``; no whole document, or a single character, is left for a part that
            is wanted.
    """
    parts = split(len(text.ids), val_size, test_size)
    mark_id = text.vocabulary.mark_id
    if mark_id is None:
        for argument, part in (("val_size", parts.val), ("test_size", parts.test)):
            if len(part) == 1:
                raise UserError(
                    f"{argument} holds out a single character, which has none before it to be "
                    "predicted from: make it larger, or 0 for none."
                )
        return parts
    marks = (_next_mark(text, part.stop - 1, mark_id) for part in (parts.train, parts.val))
    last = len(text.ids) - 1
    first, second = (min(mark, last) for mark in marks)
    held_out = (("val_size", val_size, first, second), ("test_size", test_size, second, last))
    for argument, size, begin, end in held_out:
        if size and begin == end:
            raise UserError(
                f"{argument}={size} holds out no whole document: make it larger, 0 for none, or give "
                "a text of more documents."
            )
    return Split(
        train=range(first + 1),
        val=range(first, second + 1) if val_size else range(0),
        test=range(second, last + 1) if test_size else range(0),
    )


def is_one_document(text: EncodedText) -> bool:
    """Whether a text of documents has a single one, as where nothing in it parts them."""
    mark_id = text.vocabulary.mark_id
    return mark_id is not None and _next_mark(text, 1, mark_id) >= len(text.ids) - 1


def _next_mark(text: EncodedText, start: int, mark_id: int) -> int:
    """Where the first mark stands from ``start`` on; the text's end where there is none."""
    for first in range(start, len(text.ids), PIECE_BYTES):
        found = np.flatnonzero(text.ids[first : first + PIECE_BYTES] == mark_id)
        if len(found):
            return first + int(found[0])
    return len(text.ids)
