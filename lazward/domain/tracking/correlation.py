"""How much two conditions go together: normalised pointwise mutual information, -1 (never together) to 1 (always)."""

from __future__ import annotations

import math

_SMOOTHING = 0.5  # Jeffreys' prior, added to each of the four counts


def npmi(total: int, first: int, second: int, both: int) -> tuple[float, float] | None:
    """(as counted, smoothed) of how many there are, how many match each and both; None where one matches nothing, or they cannot be."""
    cells = (both, first - both, second - both, total - first - second + both)
    if total <= 0 or first == 0 or second == 0 or min(cells) < 0:
        return None
    if not any(cells[1:]):
        return 1.0, 1.0
    return -1.0 if both == 0 else _of(cells, 0.0), _of(cells, _SMOOTHING)


def _of(cells: tuple[int, int, int, int], smoothing: float) -> float:
    both, one, other, neither = (cell + smoothing for cell in cells)
    total = both + one + other + neither
    together = math.log(both / total)
    return max(-1.0, min(1.0, (together - math.log((both + one) / total) - math.log((both + other) / total)) / -together))
