from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.tracking.sampling import extremes, thinned

rows = st.lists(
    st.builds(lambda at, step, value, nan: (at, step, 0.0 if nan else value, nan), st.integers(0, 50), st.integers(-5, 50), st.floats(allow_nan=False), st.booleans()), max_size=300
).map(lambda found: sorted(set(found)))


class TestThinned:
    @given(rows, st.integers(1, 60))
    def test_some_of_the_rows_in_their_order_with_both_ends(self, all_rows, limit):
        kept = thinned(all_rows, limit)
        assert len(kept) <= limit
        assert kept == [row for row in all_rows if row in set(kept)]
        if all_rows:
            assert kept[-1] == all_rows[-1]
            if limit > 1:
                assert kept[0] == all_rows[0]

    @given(rows, st.integers(4, 60))
    def test_no_spike_is_lost(self, all_rows, limit):
        numbers = [value for _, _, value, nan in all_rows if not nan]
        kept = [value for _, _, value, nan in thinned(all_rows, limit) if not nan]
        if numbers:
            assert (min(kept), max(kept)) == (min(numbers), max(numbers))

    def test_what_is_few_stays_whole(self):
        some = [(i, i, float(i), False) for i in range(10)]
        assert thinned(some, 10) == some


class TestExtremes:
    @given(rows.filter(bool))
    def test_least_greatest_and_a_nan(self, stretch):
        kept = extremes(stretch)
        assert kept == sorted(kept) and set(kept) <= set(stretch) and 1 <= len(kept) <= 3
        assert any(row[3] for row in kept) == any(row[3] for row in stretch)

    def test_without_numbers_the_first(self):
        assert extremes([(1, 1, 0.0, True), (2, 2, 0.0, True)]) == [(1, 1, 0.0, True)]

    def test_infinities_are_numbers(self):
        assert extremes([(1, 1, math.inf, False), (2, 2, 0.0, False), (3, 3, -math.inf, False)]) == [(1, 1, math.inf, False), (3, 3, -math.inf, False)]
