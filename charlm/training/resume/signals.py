"""Ctrl-C and SIGTERM: asked once, a run stops at a step's end; asked twice, at once."""

import signal
import threading
from types import FrameType
from typing import Any

from charlm.errors import Stopped

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
if hasattr(signal, "SIGBREAK"):  # on Windows alone
    NAMES[signal.SIGBREAK] = "Ctrl-Break"


class StopSignals:
    """Takes the two signals over from Python and Lightning, and keeps the first in mind.

    Lightning would stop in mid-step on Ctrl-C, and sends to the other processes from within its
    handler of SIGTERM. A handler can only be set by a process's main thread: elsewhere nothing
    is taken over.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def take(self) -> None:
        """Handle the signals from now on; a second call takes them again."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in NAMES:
            before = signal.signal(number, self._handle)
            self._before.setdefault(number, before)

    def give_back(self) -> None:
        """Leave the signals to whoever had them before."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()
        self.received = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise Stopped("Stopped at once, in mid-step: go on from the last checkpoint.", number)
        self.received = number
