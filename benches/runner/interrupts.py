"""Ctrl-C and SIGTERM: they end the run, but never between a process's start and the note that it was started."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_held = False
_asked = False


def install() -> None:
    """Has both raise KeyboardInterrupt. Explicitly: a shell may have had us ignore one of them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _on_signal)


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    global _asked
    if not _held:
        raise KeyboardInterrupt
    _asked = True


@contextmanager
def held() -> Iterator[None]:
    """What is done in here is done to its end; the signal counts afterwards."""
    global _held, _asked
    _held = True
    try:
        yield
    finally:
        _held = False
    if _asked:
        _asked = False
        raise KeyboardInterrupt
