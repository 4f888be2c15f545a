"""The size cap of what steps of pipelines are kept for: reuse. Beyond it the outputs of those steps go that were used longest ago.

Only what a step wrote where the server chose, into its own folder, and what nothing else speaks of: no pipeline's output, no asset, no
deployment, no schedule, no job that is not over. Logs, metrics and artifacts of a step stay.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from lazward.contract.envelope import timestamp
from lazward.contract.ids import ML
from lazward.domain.resources.jobs import JOBS
from lazward.domain.tracking.status import JOB_OVER
from lazward.orchestration.data import Place, locate
from lazward.orchestration.reuse import last_used
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources
from lazward.storage.blobs import listing
from lazward.storage.db import Tx
from lazward.storage.resources import Row

PAGE = 500
SPEAKING = ("data/versions", "models/versions", "onlineEndpoints/deployments", "schedules")  # types that may name a place or a job's output
_NAMED = re.compile(r"\b(?:azureml|jobs)/([A-Za-z0-9][\w.-]*)/")


class Kept(msgspec.Struct):
    """A step whose outputs are there for reuse. used: unix seconds."""

    key: str
    name: str
    used: float
    places: list[Place]
    size: int = 0


async def trim(runtime: Runtime) -> int:
    """Brings every workspace below the setting reuse_max_bytes (0: no cap); bytes that are no more referred to. Can be killed at any
    moment: a step is out of reuse before its outputs go."""
    cap, freed = runtime.settings.reuse_max_bytes, 0
    if not cap:
        return 0
    for workspace in await runtime.db.read(resources.every, f"{ML}/workspaces"):
        kept, needed = await _survey(runtime, workspace)
        total = sum(step.size for step in kept)
        for step in sorted(kept, key=lambda step: step.used):
            if total <= cap:
                break
            if step.size and step.name not in needed and await runtime.db.write(_retire, step.key, step.used, cap, runtime.now()):
                for place in step.places:
                    await runtime.blobs.delete_prefix(place.account, place.container, place.path.rstrip("/") + "/")
                total, freed = total - step.size, freed + step.size
    return freed


async def _survey(runtime: Runtime, workspace: Row) -> tuple[list[Kept], set[str]]:
    """Steps with outputs of their own, and the names of jobs that something speaks of."""
    kept: list[Kept] = []
    needed: set[str] = set()
    live: set[str] = set()  # jobs that are not over, and all below them; a parent is met before its children
    async for row in _rows(runtime, JOBS.key, workspace):
        facts = row.properties
        over = facts["status"] in JOB_OVER
        if not over or row.parent in live:
            live.add(row.key)
        root = row.parent == workspace.key
        if root or row.key in live:
            needed |= _names([*facts.get("inputs", {}).values(), *facts.get("outputs", {}).values()]) - {row.name}
        if not root and row.lookup and facts["status"] == "Completed" and row.key not in live:
            kept.append(Kept(row.key, row.name, last_used(row), await runtime.db.read(_own_places, workspace, row)))
    for kind in SPEAKING:
        async for row in _rows(runtime, f"{ML}/workspaces/{kind}", workspace):
            needed |= _names(row.properties)
    for step in kept:
        step.size = await runtime.db.read(_size, step.places)
    return kept, needed


async def _rows(runtime: Runtime, kind: str, workspace: Row) -> AsyncIterator[Row]:
    after: int | None = None
    while True:
        rows, after = await runtime.db.read(_page, kind, workspace.key, after)
        for row in rows:
            yield row
        if after is None:
            return


def _page(tx: Tx, kind: str, workspace: str, after: int | None) -> tuple[list[Row], int | None]:
    return resources.page(tx, kind, PAGE, scope=workspace, after=after)


def _names(value: Any) -> set[str]:
    return set(_NAMED.findall(msgspec.json.encode(value).decode()))


def _own_places(tx: Tx, workspace: Row, row: Row) -> list[Place]:
    places = [locate(tx, workspace, facts["uri"], f"outputs.{name}") for name, facts in row.properties.get("outputs", {}).items() if name != "default"]
    return [place for place in places if place.account and place.path.startswith(f"azureml/{row.name}/")]


def _size(tx: Tx, places: list[Place]) -> int:
    return sum(listing.size(tx, place.account, place.container, place.path.rstrip("/") + "/") for place in places)


def _retire(tx: Tx, key: str, used: float, cap: int, now: float) -> bool:
    """Takes a step out of reuse; False when it has been used or deleted since it was looked at."""
    row = resources.get(tx, key)
    if row is None or row.lookup is None or last_used(row) != used:
        return False
    row.lookup = None
    row.doc["lazward"].pop("fingerprint", None)
    row.properties["properties"]["azureml.reuse.evicted"] = f"{timestamp(now)}: the outputs were removed, since what is kept for reuse was more than {cap} bytes (reuse_max_bytes)"
    resources.update(tx, row, now)
    return True
