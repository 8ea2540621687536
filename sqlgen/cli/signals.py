"""Signals that end a run: gracefully the first time, at once the second."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

NOT_READ = 128 + 13
"""Exit code after a broken pipe (SIGPIPE), as in shells."""
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(KeyboardInterrupt):
    """A signal to end the process was received."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


def name(stop: KeyboardInterrupt) -> str:
    """Reason for the end of the process."""
    number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
    return "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"


def code(stop: KeyboardInterrupt) -> int:
    """Exit code, as in shells."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Raise :class:`Stopped` in the main thread on a signal; a second signal ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os.write(2, b"stopped at once: the next run clears what is staged\n")
            os._exit(128 + number)
        asked = True
        raise Stopped(number)

    before = {number: signal.getsignal(number) for number in _ENDING}
    # nohup ignores SIGHUP, and a shell SIGINT for what it starts in the background.
    caught = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in caught:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)


def mute() -> None:
    """Discard further output after a broken pipe, for which Python would complain at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def escape_unprintable() -> None:
    """Print characters that the terminal's encoding lacks as escapes."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and getattr(stream, "errors", "") == "strict":
            reconfigure(errors="backslashreplace")
