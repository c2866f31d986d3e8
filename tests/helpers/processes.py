"""Processes that train together, with a time limit, before a terminal or before none."""

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from helpers.resuming import in_a_process


@dataclass
class Ended:
    """How a process ended, and what it showed in its terminal (empty where it had none)."""

    code: int
    shown: str = ""


def in_processes(
    num_processes: int, work: Callable[[], Any], in_terminal: bool = False, seconds: float = 60
) -> list[Ended]:
    """Do the work in so many processes, as torchrun starts them.

    Raises:
        TimeoutError: one of them hasn't ended in time; all are killed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    terminals = []
    if in_terminal:
        import termios

        terminals = [os.openpty() for _ in range(num_processes)]
        for _, slave in terminals:
            termios.tcsetwinsize(slave, (24, 120))

    def work_of(rank: int) -> None:
        if in_terminal:
            # Line by line, as Python's own standard error.
            sys.stderr = open(terminals[rank][1], "w", buffering=1, encoding="utf-8")  # noqa: SIM115
        work()

    environment = {"NODE_RANK": 0, "WORLD_SIZE": num_processes}
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    children = [
        in_a_process(lambda rank=rank: work_of(rank), LOCAL_RANK=rank, **environment, **address)
        for rank in range(num_processes)
    ]
    for _, slave in terminals:
        os.close(slave)
    masters = [master for master, _ in terminals]
    shown = dict.fromkeys(masters, b"")
    codes: dict[int, int] = {}
    deadline = time.monotonic() + seconds
    try:
        while len(codes) < num_processes:
            read_what_is_there(shown)
            for child in set(children) - codes.keys():
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    codes[child] = os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{num_processes - len(codes)} processes hang")
        read_what_is_there(shown)
    finally:
        for child in set(children) - codes.keys():
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for master in masters:
            os.close(master)
    texts = [shown[master].decode(errors="replace") for master in masters] or [""] * num_processes
    return [Ended(codes[child], text) for child, text in zip(children, texts, strict=True)]


def read_what_is_there(shown: dict[int, bytes]) -> None:
    """Add to ``shown`` what stands in each terminal; wait a moment where there is nothing."""
    if not shown:
        time.sleep(0.01)
    # Linux tells the end of a terminal by an error.
    with contextlib.suppress(OSError):
        while ready := select.select(list(shown), [], [], 0.01)[0]:
            for master in ready:
                shown[master] += os.read(master, 65536)
