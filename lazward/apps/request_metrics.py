"""How many requests, and how long they took, for Prometheus. prometheus_client's own counters lock for every one of their numbers, which
takes as long as a fifth of a small answer; these are counted on the event loop's thread alone."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import REGISTRY, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_BOUNDS = Histogram.DEFAULT_BUCKETS  # seconds; the last is infinite


class _Requests(Collector):
    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], int] = {}
        self._times: dict[str, list[float]] = {}  # surface -> requests by bucket, then the sum of their seconds

    def add(self, surface: str, method: str, status: int, seconds: float) -> None:
        key = (surface, method, status)
        self._counts[key] = self._counts.get(key, 0) + 1
        times = self._times.get(surface)
        if times is None:
            times = self._times[surface] = [0] * len(_BOUNDS) + [0.0]
        times[bisect_left(_BOUNDS, seconds)] += 1
        times[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        counts = CounterMetricFamily("lazward_http_requests", "Requests by surface, method and status", labels=["surface", "method", "status"])
        for (surface, method, status), count in self._counts.items():
            counts.add_metric([surface, method, str(status)], count)
        yield counts
        times = HistogramMetricFamily("lazward_http_request_seconds", "Time to answer by surface", labels=["surface"])
        for surface, (*buckets, total) in self._times.items():
            below = accumulate(buckets)
            times.add_metric([surface], [("+Inf" if bound == float("inf") else str(bound), count) for bound, count in zip(_BOUNDS, below, strict=True)], total)
        yield times


REQUESTS = _Requests()
REGISTRY.register(REQUESTS)
