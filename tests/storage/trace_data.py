"""Shorthands for spans and traces in tests."""

from __future__ import annotations

from typing import Any

from lazward.domain.tracking.assessments import Assessment
from lazward.domain.tracking.filter import TRACES, parse_filter, parse_orders
from lazward.domain.tracking.spans import Event, Link, Span
from lazward.domain.tracking.trace_summary import batches
from lazward.domain.tracking.traces import TraceDraft
from lazward.storage import spans, trace_search, traces
from lazward.storage.db import Database
from tests.storage.tracking_data import KEY, NOW

S = 1_800_000_000  # seconds; where traces of tests begin


def id_of(number: int) -> str:
    return f"tr-{number:032x}"


def make_span(
    trace: int, id_: int, parent: int | None = None, *, name: str = "", start: float = 0, end: float | None = 1, status: str = "UNSET", message: str = "",
    resource: dict[str, Any] | None = None, events: list[Event] | None = None, links: list[Link] | None = None, **attributes: Any,
) -> Span:
    """start, end: seconds after S. Attributes by name, __ standing for a dot."""
    ns = 1_000_000_000
    return Span(
        f"{trace:032x}", f"{id_:016x}", None if parent is None else f"{parent:016x}", name or f"span {id_}", int((S + start) * ns),
        None if end is None else int((S + end) * ns), status, message, {k.replace("__", "."): v for k, v in attributes.items()}, events or [], links or [], resource or {},
    )


def log(db: Database, *some: Span, key: str = KEY, experiment: str = "0", run: str | None = None) -> str | None:
    return db.write_now(spans.log, key, experiment, batches(some), run, NOW)


def draft(number: int, *, experiment: str = "0", at: int = S * 1000, duration: int | None = 1000, state: str = "OK", assessments: tuple[Assessment, ...] = (), **more: Any) -> TraceDraft:
    facts: dict[str, Any] = {"client_id": None, "request": None, "response": None, "tags": {}, "metadata": {}, **more}
    return TraceDraft(id_of(number), experiment, at, duration, state, facts["client_id"], facts["request"], facts["response"], facts["tags"], facts["metadata"], list(assessments))


def start(db: Database, number: int, *, key: str = KEY, **facts: Any) -> traces.Full:
    return db.write_now(traces.start, key, draft(number, **facts), NOW)


def said(name: str, value: Any, kind: str = "feedback", **more: Any) -> Assessment:
    return Assessment(None, kind, name, value, 1, 1, **more)


def find(db: Database, text: str | None = None, order: list[str] | None = None, *, key: str = KEY, experiments: tuple[str, ...] = ("0",), limit: int = 100, token: str | None = None) -> tuple[list[int], str | None]:
    """Numbers of the traces found, and the token of the next page."""
    found, token = db.read_now(trace_search.search, key, list(experiments), parse_filter(text, TRACES), parse_orders(order, TRACES), limit, token)
    return [int(full.trace.id[3:], 16) for full in found], token
