from __future__ import annotations

import math

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.filter import AnyOf, Compare, Not, Order
from lazward.storage.search import Column, Paging, where

t = sa.table("t", sa.column("a", sa.Double), sa.column("s", sa.Text), sa.column("nan", sa.Boolean), sa.column("id", sa.Text))
COLUMNS = {"a": Column(t.c.a, number=True, nullable=True, nan=t.c.nan), "s": Column(t.c.s, nullable=True)}
TIES = [(Column(t.c.id), True)]
ROWS = [
    ("1", 1.5, "b", False), ("2", math.inf, "a", False), ("3", None, None, None), ("4", 0.0, "a*b", True), ("5", -math.inf, "A", False), ("6", 1.5, None, False), ("7", None, "ä", None), ("8", 0.0, "a", False),
]


def reach(kind, key):
    return lambda test: test(COLUMNS[key])


def run(db, where_=None, orders=(), limit=100, token=None):
    paging = Paging(list(orders), lambda o: COLUMNS[o.key], TIES, db.is_sqlite)

    def select(tx):
        tx.execute(sa.text("CREATE TEMP TABLE IF NOT EXISTS t (id TEXT, a DOUBLE PRECISION, s TEXT, nan BOOLEAN)"))
        tx.execute(sa.text("DELETE FROM t"))
        tx.execute(sa.text("INSERT INTO t (id, a, s, nan) VALUES (:id, :a, :s, :nan)"), [dict(zip(("id", "a", "s", "nan"), row, strict=True)) for row in ROWS])
        statement = sa.select(t.c.id, *paging.selected).where(*([where(where_, reach, tx.sqlite)] if where_ else []), *paging.after(token))
        return tx.execute(statement.order_by(*paging.order).limit(limit + 1)).all()

    rows = db.write_now(select)
    return [r[0] for r in rows[:limit]], paging.token(rows, limit, 1)


@pytest.mark.parametrize(("orders", "expected"), [
    ([("a", True)], "5 8 1 6 2 4 3 7"), ([("a", False)], "2 1 6 8 5 4 3 7"), ([("s", True)], "5 2 8 4 1 7 3 6"), ([("s", False), ("a", True)], "7 1 4 8 2 5 6 3"), ([], "1 2 3 4 5 6 7 8"),
])
def test_order_and_every_way_to_page(db, orders, expected):
    wanted = [Order("x", key, ascending) for key, ascending in orders]
    assert run(db, orders=wanted)[0] == expected.split()
    for size in (1, 2, 3):
        seen, token = [], None
        while True:
            page, token = run(db, orders=wanted, limit=size, token=token)
            seen += page
            if token is None:
                break
        assert seen == expected.split()


@pytest.mark.parametrize(("node", "expected"), [
    (Compare("x", "a", ">", 1.0), "1 2 6"), (Compare("x", "a", "!=", 1.5), "2 4 5 8"), (Compare("x", "a", "NULL"), "3 7"), (Not(Compare("x", "a", "=", 1.5)), "2 3 4 5 7 8"),
    (Compare("x", "s", "LIKE", "a%"), "2 4 8"), (Compare("x", "s", "ILIKE", "a%"), "2 4 5 8"), (Compare("x", "s", "LIKE", "a*b"), "4"), (Compare("x", "s", "LIKE", "a_b"), "4"), (Compare("x", "s", "LIKE", "[a]"), ""),
    (Compare("x", "s", "NOT LIKE", "a%"), "1 5 7"), (Compare("x", "s", "IN", ("a", "b")), "1 2 8"), (Compare("x", "s", "NOT IN", ("a", "b")), "4 5 7"), (Compare("x", "s", "LIKE", "\\%"), ""),
    (AnyOf((Compare("x", "s", "=", "ä"), Compare("x", "a", "<", 0.0))), "5 7"),
])
def test_conditions(db, node, expected):
    assert run(db, node)[0] == expected.split()


@given(st.text(max_size=30))
def test_s22_tokens_are_values_or_refused(token):
    paging = Paging([Order("x", "a", True), Order("x", "s", False)], lambda o: COLUMNS[o.key], TIES, True)
    try:
        paging.after(token)
    except MlflowError as error:
        assert error.code == "INVALID_PARAMETER_VALUE"
