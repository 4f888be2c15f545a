"""Waiting for processes in tests."""

from __future__ import annotations

import time

DEADLINE_S = 30


def wait_for(condition, explain=lambda: "") -> None:
    """Polls until the condition holds; fails after DEADLINE_S."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"not reached in {DEADLINE_S} s\n{explain()}"
        time.sleep(0.02)
