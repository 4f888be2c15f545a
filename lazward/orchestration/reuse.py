"""Reuse of steps across the pipelines and users of a workspace: the fingerprint of a step is the lookup value of its job, and a step
with the same fingerprint takes over what a completed one has left.

Data is told apart by content (names, sizes, checksums of what lies in the store), so a changed file is a changed input even under the
same path. What lies on the web is told apart by its address. Archiving a job, or deleting it, takes it out of reuse.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lazward.contract.errors import ArmError
from lazward.domain.pipelines.reuse import digest, parts
from lazward.domain.resources.jobs import JOBS
from lazward.domain.uris import parse_uri
from lazward.orchestration.data import asset, home_of, locate
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row

RECENT = 500  # jobs among which the step "before" is looked for, to tell what has changed
DAY_S = 86400.0
OWN_PLACES = "/paths/azureml/"  # where outputs go that name no place


async def parts_of(runtime: Runtime, workspace: Row, properties: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
    """What the step's fingerprint is taken of. known: identities found before in the same pipeline, by uri."""
    run = properties.get("trial") or properties

    async def once(uri: str, find: Any, *args: Any) -> str:
        if uri not in known:
            known[uri] = await find(*args)
        return known[uri]

    inputs: dict[str, str] = {}
    for name, given in (properties.get("inputs") or {}).items():
        if given["jobInputType"] == "literal":
            inputs[name] = f"={given['value']}"
        else:
            family = "models" if given["jobInputType"].endswith("_model") else "data"
            inputs[name] = await once(f"{family} {given['uri']}", _content, runtime, workspace, given["uri"], family)
    code = await once(f"code {run.get('codeId')}", _content, runtime, workspace, run["codeId"], "codes") if run.get("codeId") else ""
    environment = str(run.get("environmentId") or "")
    # Of the places the server chooses, one is as good as another; a place that the user chose is to be written to.
    chosen = {name: facts["uri"] for name, facts in (properties.get("outputs") or {}).items() if facts.get("uri") and OWN_PLACES not in facts["uri"]}
    return parts(properties, code=code, environment=await once(f"environment {environment}", _environment, runtime, workspace, environment), inputs=inputs, custom_outputs=chosen)


async def _environment(runtime: Runtime, workspace: Row, reference: str) -> str:
    def find(tx: Tx) -> str:
        try:
            uri = parse_uri(reference, "environmentId", "environments")
            row = asset(tx, home_of(tx, workspace, uri, "environmentId"), uri, "environmentId") if uri.kind == "asset" else None
        except ArmError:
            row = None
        if row is None:
            return reference
        return digest({name: row.properties.get(name) for name in ("image", "condaFile", "build")})

    return await runtime.db.read(find)


async def _content(runtime: Runtime, workspace: Row, uri: str, family: str) -> str:
    """What lies at a uri, as one digest; the uri itself for what is not in this server's store."""
    place = await runtime.db.read(locate, workspace, uri, "uri", family)
    if not place.account:
        return place.url or uri
    single = await runtime.blobs.info(place.account, place.container, place.path.rstrip("/")) if place.path.rstrip("/") else None
    if single is not None and single.kind != "Directory":
        return _mark(single)
    found: list[tuple[str, str]] = []
    base, marker = place.path.rstrip("/") + "/" if place.path else "", ""
    while True:
        page = await runtime.blobs.list(place.account, place.container, base, "", marker)
        found += [(blob.name.removeprefix(base), _mark(blob)) for blob in page.blobs]
        marker = page.next_marker
        if not marker:
            return digest(found)


def _mark(blob: Any) -> str:
    return f"{blob.size} {blob.headers.get('contentMD5') or blob.etag}"


def find(tx: Tx, workspace: str, fingerprint: str, now: float, max_age_days: float) -> tuple[Row | None, str]:
    """The newest completed step with the fingerprint, or why none of those there can be taken."""
    why = "no earlier step has the same component, code, environment and inputs"
    for row in resources.every(tx, JOBS.key, scope=workspace, lookup=fingerprint, newest_first=True):
        if row.properties["status"] != "Completed":
            why = f"the step like it, {row.name}, is {row.properties['status'].lower()}"
        elif row.archived:
            why = f"the step like it, {row.name}, is archived"
        elif max_age_days and now - _ended(row) > max_age_days * DAY_S:
            why = f"the step like it, {row.name}, is older than {max_age_days:g} days (reuse_max_age_days)"
        else:
            return row, ""
    return None, why


def note_use(tx: Tx, row: Row, now: float) -> None:
    """The step is taken over: of those kept for reuse, it is the last to go."""
    row.doc["lazward"]["used"] = now
    resources.update(tx, row, now)


def last_used(row: Row) -> float:
    return (row.doc.get("lazward") or {}).get("used") or _ended(row)


def _ended(row: Row) -> float:
    return datetime.fromisoformat(row.properties["endTimeUtc"]).timestamp()


def before(tx: Tx, workspace: str, component: str, node: str) -> dict[str, Any] | None:
    """The parts of the newest step of the same node or component, to compare with."""
    rows, _ = resources.page(tx, JOBS.key, RECENT, scope=workspace, newest_first=True)
    for row in rows:
        facts = row.doc.get("lazward") or {}
        if facts.get("parts") and (facts.get("node") == node or row.properties.get("componentId") == component):
            return facts["parts"]
    return None


