"""Ctrl-C and SIGTERM end the run, but never between the start of a process and its entry in the list of children."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_deferring = False
_pending = False


def install() -> None:
    """Makes both signals raise KeyboardInterrupt, even if they were ignored when this program was started."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _on_signal)


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    global _pending
    if not _deferring:
        raise KeyboardInterrupt
    _pending = True


@contextmanager
def deferred() -> Iterator[None]:
    """Runs its block to the end; a signal that arrives meanwhile takes effect afterwards."""
    global _deferring, _pending
    _deferring = True
    try:
        yield
    finally:
        _deferring = False
    if _pending:
        _pending = False
        raise KeyboardInterrupt
