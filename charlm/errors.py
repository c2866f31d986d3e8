"""Mistakes that a user can make, each told in one sentence."""


class UserError(ValueError):
    """What is wrong, where, and what to do: one sentence, shown without a traceback.

    The command line prints the message on standard error and exits with code 1; in Python it is
    an ordinary ``ValueError``.
    """
