"""Sweep jobs."""

from __future__ import annotations

from lazward.contract.errors import not_implemented
from lazward.domain.jobs.kind import JobKind
from lazward.domain.resource import Doc


def _not_yet(properties: Doc) -> None:
    raise not_implemented("Jobs of type 'Sweep'")


KIND = JobKind(checks=(_not_yet,), fixed=())
