from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.tracking.correlation import npmi


def test_ends_of_the_scale():
    assert npmi(10, 10, 10, 10) == (1.0, 1.0)
    together, smoothed = npmi(10, 4, 4, 4)
    assert together == pytest.approx(1) and 0 < smoothed < 1
    assert npmi(10, 4, 4, 0)[0] == -1
    assert npmi(16, 4, 4, 1)[0] == pytest.approx(0)
    assert npmi(0, 0, 0, 0) is npmi(5, 0, 3, 0) is npmi(5, 4, 4, 1) is None


@given(*(st.integers(0, 50) for _ in range(4)))
def test_between_them(both, one, other, neither):
    found = npmi(both + one + other + neither, both + one, both + other, both)
    if found is not None:
        assert all(-1 <= value <= 1 for value in found)
        assert found == pytest.approx(npmi(both + one + other + neither, both + other, both + one, both))
