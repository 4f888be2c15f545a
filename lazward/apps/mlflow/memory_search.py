"""The search language over a list in memory: registered models and versions, of which a workspace has few."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from lazward.contract.mlflow import invalid
from lazward.domain.tracking.filter import All, AnyOf, Compare, Node, Not, Order

T = TypeVar("T")
Facts = dict[str, Any]


def page(
    items: Sequence[tuple[Facts, dict[str, str], T]], condition: Node | None, orders: Sequence[Order], ties: Sequence[tuple[str, bool]], limit: int,
    token: str | None,
) -> tuple[list[T], str | None]:
    """items: (attributes, tags, what is returned). ties: (attribute, ascending) behind the orders."""
    start = _offset(token)
    kept = [item for item in items if condition is None or matches(condition, item[0], item[1])]
    for name, ascending in reversed([*((o.key, o.ascending) for o in orders if o.kind == "attribute"), *ties]):
        kept.sort(key=lambda item, name=name: (item[0][name] is not None, "" if item[0][name] is None else item[0][name]), reverse=not ascending)
    found = [item[2] for item in kept[start : start + limit]]
    more = len(kept) > start + limit
    return found, base64.urlsafe_b64encode(f"o{start + limit}".encode()).decode() if more else None


def only_name(node: Node | None) -> str | None:
    """The one name that a condition can be true of; None when there may be others."""
    if isinstance(node, All):
        return next((name for item in node.items if (name := only_name(item)) is not None), None)
    return node.value if isinstance(node, Compare) and (node.kind, node.key, node.op) == ("attribute", "name", "=") else None


def matches(node: Node, facts: Facts, tags: dict[str, str]) -> bool:
    if isinstance(node, Not):
        return not matches(node.item, facts, tags)
    if isinstance(node, All):
        return all(matches(item, facts, tags) for item in node.items)
    if isinstance(node, AnyOf):
        return any(matches(item, facts, tags) for item in node.items)
    value = facts[node.key] if node.kind == "attribute" else tags.get(node.key)
    if node.op == "NULL":
        return value is None
    return value is not None and _test(node, node.op, value)


def _test(node: Compare, op: str, value: Any) -> bool:
    if op.startswith("NOT "):
        return not _test(node, op[4:], value)
    if op == "IN":
        return value in node.value
    if op in ("LIKE", "ILIKE"):
        return like(value.lower(), node.value.lower()) if op == "ILIKE" else like(value, node.value)
    return {
        "=": value == node.value, "!=": value != node.value,
        "<": op == "<" and value < node.value, "<=": op == "<=" and value <= node.value,
        ">": op == ">" and value > node.value, ">=": op == ">=" and value >= node.value,
    }[op]


def like(text: str, pattern: str) -> bool:
    """SQL's LIKE. Time is at most the product of the lengths, whatever the pattern (S19)."""
    at = place = 0
    star, mark = -1, 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "%":
            star, mark = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("_", text[at]):
            at, place = at + 1, place + 1
        elif star >= 0:
            mark += 1
            at, place = mark, star + 1
        else:
            return False
    return all(c == "%" for c in pattern[place:])


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        text = base64.urlsafe_b64decode(token).decode()
    except ValueError:
        text = ""
    if not re.fullmatch(r"o\d{1,9}", text):
        raise invalid(f"Invalid page token {token[:60]!r}.", "page_token")
    return int(text[1:])
