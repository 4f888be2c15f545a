"""From the search language's tree to SQL: conditions, order, and pages that go on after the last row seen (keyset)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lazward.contract.mlflow import invalid
from lazward.domain.tracking.filter import All, AnyOf, Compare, Node, Not, Order

Condition = sa.ColumnElement[bool]
# Applies a test to the column a name stands for: at once for an attribute, inside EXISTS for a metric, param or tag.
Reached = Callable[[Callable[["Column"], Condition]], Condition]


class Column:
    """A value that can be searched and ordered by. scale: stored = searched / scale. nan: the flag beside a metric's value."""

    def __init__(self, expr: Any, *, number: bool = False, scale: float = 1.0, nullable: bool = False, nan: Any = None):
        self.expr, self.number, self.scale, self.nullable, self.nan = expr, number, scale, nullable, nan


def where(node: Node, reach: Callable[[str, str], Reached], sqlite: bool) -> Condition:
    """reach(kind, key) leads to the column; a key that cannot exist leads to sa.false()."""
    if isinstance(node, Not):
        return sa.not_(where(node.item, reach, sqlite))
    if isinstance(node, All):
        return sa.and_(*(where(item, reach, sqlite) for item in node.items))
    if isinstance(node, AnyOf):
        return sa.or_(*(where(item, reach, sqlite) for item in node.items))
    reached = reach(node.kind, node.key)
    if node.op == "NULL":
        return sa.not_(reached(lambda column: column.expr.is_not(None)))
    return reached(lambda column: _compare(column, node, sqlite))


def _compare(column: Column, node: Compare, sqlite: bool) -> Condition:
    test = _test(column, node.op, node.value, sqlite)
    if column.nan is not None:  # a NaN differs from every number and compares with none
        test = sa.or_(test, column.nan) if node.op == "!=" else sa.and_(test, sa.not_(column.nan))
    # NULL must come out false, not unknown, so that NOT (...) around it is true.
    return sa.and_(column.expr.is_not(None), test) if column.nullable else test


def _test(column: Column, op: str, value: Any, sqlite: bool) -> Condition:
    expr = column.expr
    if op.startswith("NOT "):
        return sa.not_(_test(column, op[4:], value, sqlite))
    if op == "IN":
        return expr.in_(value)
    if op == "LIKE":  # SQLite's own LIKE looks at no case, its GLOB does
        return expr.bool_op("GLOB")(_glob(value)) if sqlite else expr.like(value.replace("\\", "\\\\"))
    if op == "ILIKE":
        return expr.like(value) if sqlite else expr.ilike(value.replace("\\", "\\\\"))
    if op == "RLIKE":
        return expr.regexp_match(value)
    if column.number:
        value = value / column.scale
    return {
        "=": expr.__eq__, "!=": expr.__ne__, "<": expr.__lt__, "<=": expr.__le__, ">": expr.__gt__, ">=": expr.__ge__,
    }[op](value)


def _glob(pattern: str) -> str:
    return "".join({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}.get(c, c) for c in pattern)


class Paging:
    """ORDER BY and the place to go on from. Missing values come last whichever the direction, NaN just before them (as MLflow)."""

    def __init__(self, orders: Sequence[Order], column_of: Callable[[Order], Column], ties: Sequence[tuple[Column, bool]], sqlite: bool):
        """ties: (column, ascending) that make the order total, the last of them unique."""
        self._keys = [(column_of(o), o.ascending) for o in orders] + list(ties)
        self.order: list[Any] = []
        self.selected: list[Any] = []
        for column, ascending in self._keys:
            # Bytes decide the order of text on PostgreSQL too; ties are ids, for which any order will do.
            text = not column.number and not sqlite and (column, ascending) not in ties
            expr = sa.collate(column.expr, "C") if text else column.expr
            rank = self._rank(column)
            self.order += [rank] if rank is not None else []
            self.order.append(expr.asc() if ascending else expr.desc())
            self.selected += [sa.literal(0) if rank is None else rank, column.expr]

    @staticmethod
    def _rank(column: Column) -> Any:
        if column.nan is not None:
            return sa.case((column.expr.is_(None), 2), (column.nan, 1), else_=0)
        return sa.case((column.expr.is_(None), 2), else_=0) if column.nullable else None

    def token(self, rows: Sequence[Any], limit: int, width: int) -> str | None:
        """rows: up to limit + 1 of them, `selected` in their columns from `width` on. None when there is no further page."""
        if len(rows) <= limit:
            return None
        last = rows[limit - 1][width:]
        parts = [[last[i], None if last[i + 1] is None else str(last[i + 1])] for i in range(0, len(last), 2)]
        return base64.urlsafe_b64encode(msgspec.json.encode(parts)).decode()

    def after(self, token: str | None) -> list[Condition]:
        """The condition of being behind the row the token was made from; [] at the start."""
        if not token:
            return []
        seen = self._decode(token)
        either: list[Condition] = []
        same: list[Condition] = []
        for (column, ascending), (rank, value) in zip(self._keys, seen, strict=True):
            ranked = self._rank(column)
            beyond: list[Condition] = []
            if rank == 0:
                further = column.expr > value if ascending else column.expr < value
                beyond.append(further if ranked is None else sa.and_(ranked == 0, further))
            if ranked is not None:
                beyond.append(ranked > rank)
            either.append(sa.and_(*same, sa.or_(*beyond)) if beyond else sa.false())
            same = same + ([ranked == rank] if ranked is not None else []) + ([column.expr == value] if rank == 0 else [])
        return [sa.or_(*either)]

    def _decode(self, token: str) -> list[tuple[int, Any]]:
        """Whatever a client sends comes out as values of the columns' types, or as INVALID_PARAMETER_VALUE."""
        try:
            parts = msgspec.json.decode(base64.urlsafe_b64decode(token), type=list[tuple[int, str | None]])
            if len(parts) != len(self._keys):
                raise ValueError
            return [(rank, self._value(column, rank, value)) for (column, _), (rank, value) in zip(self._keys, parts, strict=True)]
        except (ValueError, binascii.Error, msgspec.MsgspecError, OverflowError):
            raise invalid(f"Invalid page token {token[:60]!r}: it is not one this server gave out for this search.", "page_token") from None

    @staticmethod
    def _value(column: Column, rank: int, value: str | None) -> Any:
        if rank in (1, 2):
            return None
        if rank != 0 or not isinstance(value, str) or "\0" in value:
            raise ValueError
        if not column.number:
            return value
        found = int(value) if value.lstrip("-").isdigit() else float(value)
        if isinstance(found, int) and abs(found) >= 2**63:
            raise ValueError
        return found


def no_order(order: Order) -> Column:
    """For pages of what has one order."""
    raise AssertionError(f"it cannot be ordered by {order.key}")
