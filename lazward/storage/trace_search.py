"""Traces found by filter. Spans are only ever asked whether there is one (EXISTS), never loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from lazward.contract.mlflow import invalid
from lazward.domain.tracking.filter import All, AnyOf, Compare, Node, Not, Order
from lazward.domain.tracking.trace_summary import NAME, SESSION, SOURCE_RUN
from lazward.storage import experiments, tables
from lazward.storage.db import Tx
from lazward.storage.engines import dumps
from lazward.storage.search import Column, Condition, Paging, Reached, where
from lazward.storage.tables import trace as t
from lazward.storage.trace_rows import COLUMNS, Trace
from lazward.storage.traces import Full, load

_BAD_PATTERN = "2201B"  # PostgreSQL: invalid_regular_expression
_END = t.c.at + sa.func.coalesce(t.c.duration, 0)
_ATTRIBUTES = {
    "request_id": Column(t.c.id), "timestamp": Column(t.c.at, number=True), "execution_time": Column(t.c.duration, number=True, nullable=True),
    "end_time": Column(_END, number=True), "status": Column(t.c.state), "client_request_id": Column(t.c.client_id, nullable=True),
    "name": Column(t.c.name, nullable=True),
    "experiment_id": Column(sa.select(tables.experiment.c.id).where(tables.experiment.c.seq == t.c.experiment).scalar_subquery()),
}
_SPAN = {"name": "name", "type": "type", "status": "status", "content": "content"}


def search(
    tx: Tx, key: str, experiment_ids: Sequence[str], condition: Node | None, orders: Sequence[Order], limit: int, token: str | None,
) -> tuple[list[Full], str | None]:
    """Newest first unless ordered otherwise; the token goes on where the page ended."""
    experiments.workspace(tx, key)
    seqs = experiments.seqs(tx, key, experiment_ids)
    if not seqs:
        return [], None
    ties = [] if any((o.kind, o.key) == ("attribute", "timestamp") for o in orders) else [(_ATTRIBUTES["timestamp"], False)]
    paging = Paging(orders, _ordered, [*ties, (_ATTRIBUTES["request_id"], True)], tx.sqlite)
    statement = sa.select(*COLUMNS, *paging.selected).where(*matching(tx, seqs, condition), *paging.after(token)).order_by(*paging.order).limit(limit + 1)
    rows = execute(tx, statement).all()
    return load(tx, [Trace(*row[: len(COLUMNS)]) for row in rows[:limit]]), paging.token(rows, limit, len(COLUMNS))


def counts(tx: Tx, key: str, experiment_ids: Sequence[str], first: Node | None, second: Node | None, base: Node | None) -> tuple[int, int, int, int]:
    """(all, first, second, both): how many traces of these experiments that match `base` match the others, in one pass."""
    experiments.workspace(tx, key)
    seqs = experiments.seqs(tx, key, experiment_ids)
    one, two = (condition_of(node, seqs, tx.sqlite) if node is not None else sa.true() for node in (first, second))
    sums = (sa.func.coalesce(sa.func.sum(sa.case((test, 1), else_=0)), 0) for test in (one, two, sa.and_(one, two)))
    row = execute(tx, sa.select(sa.func.count(), *sums).select_from(t).where(*matching(tx, seqs, base))).one()
    return int(row[0]), int(row[1]), int(row[2]), int(row[3])


def matching(tx: Tx, seqs: Sequence[int], condition: Node | None) -> list[Condition]:
    return [t.c.experiment.in_(seqs), *([] if condition is None else [condition_of(condition, seqs, tx.sqlite)])]


def execute(tx: Tx, statement: Any) -> Any:
    """MlflowError for a pattern that only PostgreSQL finds fault with."""
    try:
        return tx.execute(statement)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _BAD_PATTERN:
            raise invalid("Invalid filter string: a pattern of RLIKE is no regular expression of this database.", "filter") from None
        raise


def condition_of(node: Node, seqs: Sequence[int], sqlite: bool) -> Condition:
    """seqs: the experiments searched; assessments of a session count for all its traces in them."""
    if isinstance(node, Not):
        return sa.not_(condition_of(node.item, seqs, sqlite))
    if isinstance(node, AnyOf):
        return sa.or_(*(condition_of(item, seqs, sqlite) for item in node.items))
    if isinstance(node, All):
        of_span = [item for item in node.items if isinstance(item, Compare) and _speaks_of_a_span(item)]
        rest = [condition_of(item, seqs, sqlite) for item in node.items if item not in of_span]
        return sa.and_(*rest, *([_span(of_span, sqlite)] if of_span else []))
    if _speaks_of_a_span(node):
        return _span([node], sqlite)
    if node.kind in ("feedback", "expectation"):
        return _assessed(node, seqs, sqlite)
    return where(node, lambda kind, key: _reach(kind, key, sqlite), sqlite)


def _speaks_of_a_span(node: Compare) -> bool:
    return (node.kind, node.key) == ("attribute", "text") or (node.kind == "span" and node.op != "NULL")


def _span(tests: Sequence[Compare], sqlite: bool) -> Condition:
    """There is one span for which all of it holds."""
    s = tables.span.alias()
    return sa.exists().where(s.c.trace == t.c.seq, *(where(test, lambda kind, key: _of_span(s, kind, key, sqlite), sqlite) for test in tests))


def _of_span(s: Any, kind: str, key: str, sqlite: bool) -> Reached:
    if kind == "attribute":  # text
        return lambda test: test(Column(s.c.content))
    if not key.startswith("attributes."):
        return lambda test: test(Column(s.c[_SPAN[key]], nullable=True))
    name = key.removeprefix("attributes.")
    if sqlite:
        kept = sa.type_coerce(s.c.content, sa.JSON())[("attributes", name)].as_string()
    else:
        kept = sa.cast(s.c.content, JSONB)["attributes"][name].as_string()
    # Kept is JSON text: 'gpt-4' is meant as well as '"gpt-4"'.
    return lambda test: test(Column(sa.func.trim(kept, '"'), nullable=True)) if _is_name(name) else sa.false()


def _reach(kind: str, key: str, sqlite: bool) -> Reached:
    if kind == "issue":
        a = tables.assessment.alias()
        return lambda test: sa.exists().where(a.c.trace == t.c.seq, a.c.kind == "issue", test(Column(a.c.name)))
    if kind == "span":  # NULL: no span has it
        s = tables.span.alias()
        return lambda test: sa.exists().where(s.c.trace == t.c.seq, _of_span(s, kind, key, sqlite)(test))
    if (kind, key) in (("attribute", "run_id"), ("metadata", SOURCE_RUN), ("attribute", "prompt")):
        k = tables.trace_link.alias()
        linked = "prompt" if key == "prompt" else "run"
        return lambda test: t.c.seq.in_(sa.select(k.c.trace).where(k.c.kind == linked, test(Column(k.c.ref))))
    if kind == "attribute":
        return lambda test: test(_ATTRIBUTES[key])
    if not _is_name(key):
        return lambda test: sa.false()
    return lambda test: test(_named(kind, key))


def _named(kind: str, key: str) -> Column:
    """A tag or metadata."""
    if (kind, key) == ("tag", NAME):
        return _ATTRIBUTES["name"]
    if (kind, key) == ("metadata", SESSION):
        return Column(t.c.session, nullable=True)
    document = t.c.tags if kind == "tag" else t.c.metadata
    return Column(document[key].as_string(), nullable=True)


def _is_name(key: str) -> bool:
    """What has a place in a JSON path of SQLite."""
    return '"' not in key and "\\" not in key


def _assessed(node: Compare, seqs: Sequence[int], sqlite: bool) -> Condition:
    """The trace has such a valid assessment, or its session has."""
    a, b, other = tables.assessment.alias(), tables.assessment.alias(), tables.trace.alias()

    def such(x: Any) -> list[Any]:
        about = [x.c.kind == node.kind, x.c.name == node.key, x.c.valid]
        return about if node.op == "NULL" else [*about, _value(x, node, sqlite)]

    mine = sa.exists().where(a.c.trace == t.c.seq, *such(a))
    sessions = sa.select(other.c.session).join(b, b.c.trace == other.c.seq).where(other.c.experiment.in_(seqs), other.c.session.is_not(None), b.c.scoped, *such(b))
    found = sa.or_(mine, sa.and_(t.c.session.is_not(None), t.c.session.in_(sessions)))
    return sa.not_(found) if node.op == "NULL" else found


def _value(x: Any, node: Compare, sqlite: bool) -> Condition:
    """Values are kept as JSON: 'yes' means "yes" as well as yes, and 'true' the truth."""
    if isinstance(node.value, (int, float)):
        return sa.and_(x.c.numeric, where(node, lambda kind, key: lambda test: test(Column(x.c.number, number=True, nullable=True)), sqlite))
    if node.op.removeprefix("NOT ") in ("=", "!=", "IN"):
        values = node.value if isinstance(node.value, tuple) else (node.value,)
        equal = x.c.value.in_([*values, *(dumps(value) for value in values)])
        return equal if node.op in ("=", "IN") else sa.not_(equal)
    return where(node, lambda kind, key: lambda test: test(Column(sa.func.trim(x.c.value, '"'))), sqlite)


def _ordered(order: Order) -> Column:
    if order.kind == "attribute" and order.key in _ATTRIBUTES:
        return _ATTRIBUTES[order.key]
    if (order.kind, order.key) == ("attribute", "run_id"):
        return _named("metadata", SOURCE_RUN)
    if order.kind in ("tag", "metadata") and _is_name(order.key):
        return _named(order.kind, order.key)
    if order.kind in ("feedback", "expectation"):
        a = tables.assessment.alias()
        value = sa.select(sa.func.max(a.c.number)).where(a.c.trace == t.c.seq, a.c.kind == order.kind, a.c.name == order.key, a.c.valid).correlate(t)
        return Column(value.scalar_subquery(), number=True, nullable=True)
    raise invalid(f"Invalid order_by entity: {order.kind}", "order_by")
