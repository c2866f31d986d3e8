"""Mistakes that a user can make, each told in one sentence."""


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
