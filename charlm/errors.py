"""Mistakes that a user can make, each told in one sentence; a run that is stopped."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class UserError(ValueError):
    """What is wrong, where, and what to do: one sentence, shown without a traceback.

    The command line prints the message on standard error and exits with code 1; in Python it is
    an ordinary ``ValueError``.
    """


class Stopped(BaseException):
    """A run that a signal stopped: where it stands, and how to go on.

    Args:
        message: for the user, in a sentence.
        signal_number: the signal.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """As of a process that the signal ended: 130 for Ctrl-C."""
        return 128 + self.signal_number


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Within it SIGTERM raises Stopped, as Ctrl-C raises: nothing half-written stays behind.

    Where the signal is handled already, or in a thread, which can handle none, nothing is changed.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped("Stopped by SIGTERM.", number)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
