from hypothesis import given
from hypothesis import strategies as st

from lazward.storage.pieces import SIZE, pieces


@given(st.integers(0, 3 * SIZE))
def test_all_of_them_in_order(count):
    found = list(pieces(range(count)))
    assert [value for piece in found for value in piece] == list(range(count))
    assert all(0 < len(piece) <= SIZE for piece in found)
