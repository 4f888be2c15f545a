from __future__ import annotations

import time

import pytest

from lazward.execution.runtime.serve import timelimit


def test_a_call_that_takes_too_long_is_interrupted():
    timelimit.prepare()
    with pytest.raises(timelimit.ScoringTimeout):
        timelimit.call(0.02, time.sleep, 10)


def test_a_call_in_time_returns_or_raises_what_it_does_and_leaves_no_alarm():
    timelimit.prepare()
    assert timelimit.call(10, lambda a, b: a + b, 1, b=2) == 3
    with pytest.raises(ZeroDivisionError):
        timelimit.call(10, lambda: 1 / 0)
    import signal

    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_late_alarm_is_ignored():
    timelimit.prepare()
    timelimit.call(10, lambda: None)
    timelimit._alarm(14, None)
