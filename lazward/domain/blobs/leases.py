"""Leases on blobs and containers: who holds one, and what each action makes of it. Pure: times come in as arguments.

A lease is a document {"id", "seconds" (-1 = for ever), "until" (unix seconds, null = for ever), "broken" (unix seconds from which
it is broken, null = not being broken)}, or None.
"""

from __future__ import annotations

import uuid
from typing import Any, Literal

from lazward.domain.blobs.errors import storage_error

Lease = dict[str, Any]
State = Literal["available", "leased", "expired", "breaking", "broken"]


def state(lease: Lease | None, now: float) -> State:
    if lease is None:
        return "available"
    if lease.get("broken") is not None:
        return "broken" if now >= lease["broken"] else "breaking"
    if lease["until"] is not None and now >= lease["until"]:
        return "expired"
    return "leased"


def locked(lease: Lease | None, now: float) -> bool:
    """Whether writes need the lease's id."""
    return state(lease, now) in ("leased", "breaking")


def check_write(lease: Lease | None, given: str, now: float, kind: Literal["Blob", "Container"] = "Blob") -> Lease | None:
    """ArmError 412 when a write without or with this lease id may not happen. Returns what remains of the lease: a write
    makes an expired one void, so that it cannot be renewed over the change."""
    if not locked(lease, now):
        if given:
            raise storage_error("LeaseLost" if lease is not None and lease["id"] == given else f"LeaseNotPresentWith{kind}Operation")
        return None if state(lease, now) == "expired" else lease
    if not given:
        raise storage_error("LeaseIdMissing", target="x-ms-lease-id")
    if given != lease["id"]:  # type: ignore[index]
        raise storage_error(f"LeaseIdMismatchWith{kind}Operation", target="x-ms-lease-id")
    return lease


def check_read(lease: Lease | None, given: str, now: float, kind: Literal["Blob", "Container"] = "Blob") -> None:
    """Reads need no lease; one that names a lease is told when it is gone."""
    if given:
        check_write(lease, given, now, kind)


def acquire(lease: Lease | None, proposed: str, seconds: int, now: float) -> Lease:
    """seconds: 15 to 60, or -1. Acquiring again under the same id changes the time."""
    if seconds != -1 and not 15 <= seconds <= 60:
        raise storage_error("InvalidHeaderValue", "A lease lasts 15 to 60 seconds, or -1 for ever.", "x-ms-lease-duration")
    at = state(lease, now)
    if at == "breaking":
        raise storage_error("LeaseIsBreakingAndCannotBeAcquired" if lease["id"] == proposed else "LeaseAlreadyPresent")  # type: ignore[index]
    if at == "leased" and lease["id"] != proposed:  # type: ignore[index]
        raise storage_error("LeaseAlreadyPresent")
    return _fresh(proposed, seconds, now)


def renew(lease: Lease | None, given: str, now: float) -> Lease:
    if lease is None or lease["id"] != given:
        raise storage_error("LeaseIdMismatchWithLeaseOperation", target="x-ms-lease-id")
    if lease.get("broken") is not None:
        raise storage_error("LeaseIsBrokenAndCannotBeRenewed")
    return _fresh(given, lease["seconds"], now)


def change(lease: Lease | None, given: str, proposed: str, now: float) -> Lease:
    at = state(lease, now)
    if at in ("available", "expired", "broken"):
        raise storage_error("LeaseNotPresentWithLeaseOperation")
    if at == "breaking":
        raise storage_error("LeaseIsBreakingAndCannotBeChanged")
    if lease["id"] not in (given, proposed):  # type: ignore[index]
        raise storage_error("LeaseIdMismatchWithLeaseOperation", target="x-ms-lease-id")
    return {**lease, "id": proposed}  # type: ignore[dict-item]


def release(lease: Lease | None, given: str) -> None:
    if lease is None or lease["id"] != given:
        raise storage_error("LeaseIdMismatchWithLeaseOperation", target="x-ms-lease-id")


def break_(lease: Lease | None, period: int | None, now: float) -> tuple[Lease, int]:
    """period: seconds until it is broken; None = the rest of a timed lease, at once for one that lasts for ever.
    Returns the lease and the seconds that remain."""
    if period is not None and not 0 <= period <= 60:
        raise storage_error("InvalidHeaderValue", "A lease is broken within 0 to 60 seconds.", "x-ms-lease-break-period")
    at = state(lease, now)
    if lease is None or at == "available":
        raise storage_error("LeaseNotPresentWithLeaseOperation")
    if at in ("broken", "expired"):
        return {**lease, "broken": lease["broken"] if at == "broken" else now}, 0
    ends = lease["broken"] if at == "breaking" else lease["until"] if lease["until"] is not None else (now if period is None else now + period)
    if period is not None:
        ends = min(ends, now + period)
    return {**lease, "broken": ends}, max(0, round(ends - now))


def lease_id(text: str, header: str) -> str:
    """A guid in lower case; ArmError 400 otherwise."""
    try:
        return str(uuid.UUID(text.strip().strip("{}")))
    except ValueError:
        raise storage_error("InvalidHeaderValue" if text else "MissingRequiredHeader", "A lease id is a GUID.", header) from None


def _fresh(name: str, seconds: int, now: float) -> Lease:
    return {"id": name, "seconds": seconds, "until": None if seconds == -1 else now + seconds, "broken": None}
