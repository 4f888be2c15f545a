"""Slows down who guesses secrets (S6). In memory of this process: it protects, it does not account."""

from __future__ import annotations

from collections import OrderedDict

FREE_TRIES = 5
MAX_WAIT_S = 30.0
FORGET_S = 900.0
MAX_KEYS = 10_000


class Throttle:
    """Per key (who, from where): after FREE_TRIES failures in a row each further one doubles the pause, 1 s to MAX_WAIT_S.
    While a pause lasts nothing is even looked at. Keys hold the address, so that a stranger cannot lock out the owner elsewhere."""

    def __init__(self) -> None:
        self._failed: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()  # failures, time of the last

    def wait(self, key: tuple[str, str], now: float) -> float:
        """Seconds until the next try is looked at; 0 when it is now."""
        count, last = self._failed.get(key, (0, 0.0))
        if count < FREE_TRIES:
            return 0.0
        return max(0.0, last + min(MAX_WAIT_S, 2.0 ** min(count - FREE_TRIES, 10)) - now)

    def failed(self, key: tuple[str, str], now: float) -> None:
        count, last = self._failed.pop(key, (0, now))
        self._failed[key] = (1 if now - last > FORGET_S else count + 1, now)
        if len(self._failed) > MAX_KEYS:
            self._failed.popitem(last=False)

    def passed(self, key: tuple[str, str]) -> None:
        self._failed.pop(key, None)
