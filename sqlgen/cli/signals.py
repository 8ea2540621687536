"""Signals that end a run: gracefully the first time, at once the second."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

NOT_READ = 128 + 13
"""Exit code after a broken pipe (SIGPIPE), as in shells."""
_AGAIN = 0.05
"""Seconds until a signal comes again that came where its exception would be lost."""
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
def ended() -> Iterator[None]:
    """End the process in order on a signal, with a message; at once on a second one, and while code is loaded.

    Once the command has ended, the process ends with its exit code.
    """
    asked, over = 0, False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            os.write(2, f"{name(Stopped(number))}: what is published stays\n".encode())
        if asked or over or _loses_exceptions(frame):
            os._exit(128 + number)
        asked = number
        raise SystemExit(128 + number)

    caught = _caught()
    for number in caught:
        signal.signal(number, end)
    # Registered first, called last: what is left is to clear memory, in which Python would end without a message.
    atexit.register(_ignore, caught)
    try:
        yield
    except BaseException:
        if asked:  # DuckDB raises an exception of its own
            raise SystemExit(128 + asked) from None
        raise
    finally:
        over = True
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()


def _ignore(numbers: Iterable[int]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _loses_exceptions(frame: FrameType | None) -> bool:
    """True within an import, and where kernels are compiled: code in C prints the exception, or raises another one."""
    while frame is not None:
        if "importlib" in frame.f_code.co_filename or "llvmlite" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _caught() -> dict[int, Any]:
    """Signals that may end the process, with their handlers.

    nohup ignores SIGHUP, and a shell SIGINT for what it starts in the background.
    """
    before = {number: signal.getsignal(number) for number in _ENDING}
    return {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}


@contextlib.contextmanager
def keyboard() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` on Ctrl-C, for a prompt that goes on after it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Raise :class:`Stopped` in the main thread on a signal; a second signal ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = 0

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os.write(2, b"stopped at once: the next run clears what is staged\n")
            os._exit(128 + number)
        if _loses_exceptions(frame):
            threading.Timer(_AGAIN, os.kill, (os.getpid(), number)).start()
            return
        asked = number
        raise Stopped(number)

    caught = _caught()
    for number in caught:
        signal.signal(number, end)
    try:
        yield
    except Exception:
        if asked:  # DuckDB raises an exception of its own
            raise Stopped(asked) from None
        raise
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
