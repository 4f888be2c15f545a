"""A limit on how long a call in the main thread may take, by SIGALRM: it interrupts Python code, not a C function."""

from __future__ import annotations

import signal
from typing import Any, Callable


class ScoringTimeout(BaseException):
    """The call took too long. No Exception, so that an `except Exception` in user code does not swallow it."""


class _Alarm:
    """Handler of SIGALRM. A signal that was on its way when the call returned must not hit what comes after it."""

    armed = False

    def __call__(self, _number: int, _frame: Any) -> None:
        if self.armed:
            raise ScoringTimeout


_alarm = _Alarm()


def prepare() -> None:
    """To be called once, in the main thread."""
    signal.signal(signal.SIGALRM, _alarm)


def call(seconds: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """function(*args, **kwargs); raises ScoringTimeout after `seconds`."""
    _alarm.armed = True
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return function(*args, **kwargs)
    finally:
        _alarm.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
