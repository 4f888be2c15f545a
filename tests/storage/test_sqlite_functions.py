from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from lazward.storage import sqlite_functions


@given(st.lists(st.floats(-1e6, 1e6) | st.none(), max_size=20), st.sampled_from([0, 25, 50, 99, 100]))
def test_percentiles_lie_between_values(values, p):
    with sqlite3.connect(":memory:") as db:
        sqlite_functions.register(db)
        db.execute("create table t (v)")
        db.executemany("insert into t values (?)", [(v,) for v in values])
        (found,) = db.execute("select percentile(v, ?) from t", (p,)).fetchone()
    real = sorted(v for v in values if v is not None)
    if not real:
        assert found is None
        return
    place = p / 100 * (len(real) - 1)
    assert real[int(place)] - 1e-6 <= found <= real[min(int(place) + 1, len(real) - 1)] + 1e-6
    if p in (0, 100):
        assert found == (real[0] if p == 0 else real[-1])


def test_regexp():
    with sqlite3.connect(":memory:") as db:
        sqlite_functions.register(db)
        assert db.execute("select 'abc' regexp '^a', 5 regexp '5', null regexp 'a', 'a' regexp '('").fetchone() == (1, 1, 0, 0)
