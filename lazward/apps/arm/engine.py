"""The generic ARM verbs, once for every type in the REGISTRY. The life of a PUT (ARCHITECTURE.md) is `put` and `store`.

Effects that need the database in the same transaction are hooks (hooks.py): WRITTEN[type] runs after the document is stored,
DELETING[type] before it goes; actions (POST .../cancel) are registered functions. Everything else is the declaration.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.responses import Response

from lazward.apps.arm import listing, versions
from lazward.apps.arm.conditions import check_conditions, not_modified, quoted
from lazward.apps.arm.documents import document
from lazward.apps.arm.hooks import (
    ACTION_RIGHTS,
    ACTIONS,
    DELETING,
    SEALING,
    WRITTEN,
    Call,
    Target,
    action,
    deleting,
    sealing,
    written,
)
from lazward.apps.arm.operations import operation_headers
from lazward.apps.arm.targets import check_method, first_missing, resolve, right_of
from lazward.apps.chain import Context, json_response
from lazward.apps.registry_access import check_registries
from lazward.contract.caller import Caller
from lazward.contract.envelope import TERMINAL, check_api_version, system_data
from lazward.contract.errors import ArmError, bad_request, conflict, not_found
from lazward.contract.ids import ResourceId, check_name, parse
from lazward.contract.json_body import copied
from lazward.domain.resource import (
    PRIVATE,
    REGISTRY,
    Doc,
    WriteContext,
    check_immutable,
    check_location,
    check_shape,
    merge_patch,
)
from lazward.orchestration import removal
from lazward.storage import resources, tasks
from lazward.storage.db import Tx
from lazward.storage.resources import Row

__all__ = ["ACTIONS", "ACTION_RIGHTS", "Call", "Facts", "Target", "action", "deleting", "handle", "handle_path", "put", "remove", "resolve", "sealing", "store", "written"]

READ_ONLY = ("id", "name", "type", "systemData", "etag", PRIVATE)
BEFORE_THEIR_RESOURCE = ("startpendingupload",)  # an upload comes before the version it is for


async def handle_path(ctx: Context) -> Response:
    """One request below /subscriptions/."""
    ctx.params["rest"] = "/subscriptions/" + ctx.params["rest"]
    return await handle(ctx)


async def handle(ctx: Context) -> Response:
    """One request on a resource id: path -> type -> verb. What exists here and what does not is told to callers only."""
    caller = await ctx.authenticate()
    target, method = resolve(parse(ctx.params["rest"])), ctx.request.method
    check_method(target, method)
    if not target.verb and not target.rid.name and len(target.rid.segments) == 1:
        ctx.allow("lists show only what the caller may read", caller)
    else:
        await ctx.require(right_of(target, method), str(target.rid if target.rid.name else target.rid.parent))
    check_api_version(ctx.query.get("api-version"))
    if target.verb:
        return await _act(ctx, target)
    if not target.rid.name:
        return await listing.collection(ctx, target.declared, target.rid)
    if method in ("GET", "HEAD"):
        return await _get(ctx, target)
    if method == "DELETE":
        return await _delete(ctx, target)
    return await put(ctx, target, await ctx.json(), patch=method == "PATCH")


async def _get(ctx: Context, target: Target) -> Response:
    row = await ctx.db.read(resources.get, target.rid.key)
    if row is None:
        raise await ctx.db.read(_missing, target)
    same = not_modified(row.etag, ctx.request.headers.get("if-none-match"))
    return same or json_response(document(target.declared, row), headers=quoted(row.etag))


async def put(ctx: Context, target: Target, body: Any, *, patch: bool = False) -> Response:
    """PUT (create or replace) and PATCH (merge): check, before_write, store and enqueue in one transaction, answer."""
    if not isinstance(body, dict):
        raise bad_request("The request body must be a JSON object.", "body", "InvalidRequestContent")
    await check_registries(ctx, body)
    headers = ctx.request.headers
    row, existed, task_id = await ctx.db.write(
        store, target, body, facts(ctx), patch=patch, if_match=headers.get("if-match"), if_none_match=headers.get("if-none-match"),
    )
    declared = target.declared
    more = operation_headers(ctx, task_id, row.id) if task_id else {}
    return json_response(document(declared, row), declared.updated if existed else declared.created, quoted(row.etag) | more)


@dataclass(frozen=True)
class Facts:
    """What of the request and settings a write needs; makes the write itself independent of HTTP."""

    caller: Caller
    now: float
    base_url: str
    gateway_url: str
    location: str


def facts(ctx: Context) -> Facts:
    settings = ctx.services.settings
    return Facts(ctx.caller, ctx.now, ctx.services.base_url, settings.gateway_url, settings.location)


def store(
    tx: Tx, target: Target, body: Doc, facts: Facts, *, patch: bool = False, if_match: str | None = None, if_none_match: str | None = None
) -> tuple[Row, bool, str | None]:
    """The write itself. Returns the row, whether it existed, and the id of the task that goes on with it, if one does."""
    declared, rid = target.declared, target.rid
    for _, name in rid.segments:  # also of those who come here without a path, such as MLflow's registry
        check_name(name)
    old = resources.get(tx, rid.key)
    if patch and old is None:
        raise _missing(tx, target)
    check_conditions(old.etag if old else None, if_match, if_none_match, rid.name)
    above = _parent_row(tx, target, facts)
    if old is not None:
        rid = parse(old.id)
    elif len(rid.segments) > 1:
        rid = parse(above.id).child(rid.segments[-1][0], rid.name)
    else:
        rid = ResourceId(*_spelled(above.id), rid.provider, rid.segments)
    workspace = resources.get(tx, rid.workspace.key) if len(rid.segments) > 2 else above if len(rid.segments) > 1 else None
    _check_states(old, above, workspace)
    doc = {k: v for k, v in copied(body).items() if k not in READ_ONLY}
    if patch and old is not None:
        doc = merge_patch({k: v for k, v in old.doc.items() if k not in READ_ONLY}, doc)
    check_shape(declared, doc)
    doc["properties"].pop("provisioningState", None)
    if old is not None and PRIVATE in old.doc:
        doc[PRIVATE] = old.doc[PRIVATE]
    if old is not None and declared.tracked:
        check_location(doc, old.doc)
        doc["location"] = old.doc.get("location") or doc.get("location")
    context = _context(rid, facts, above.doc, workspace.doc if workspace else None, patch)
    if declared.before_write:
        declared.before_write(doc, copied(old.doc) if old else None, context)
    if old is not None and declared.provision and old.properties.get("provisioningState", "Succeeded") not in TERMINAL:
        # A client whose connection broke before the answer says the same again: it gets the operation that goes on already.
        going_on = tasks.open_for(tx, old.key, declared.provision)
        if going_on is None or not _same(doc, old.doc):
            raise conflict(f"{declared.path} '{rid.name}' is {old.properties['provisioningState'].lower()}; wait for that operation to end.")
        return old, True, going_on.id
    if old is not None:
        check_immutable(declared, doc, old.doc)
    doc["systemData"] = system_data(facts.caller, facts.now, old.doc.get("systemData") if old else None)
    doc["properties"]["provisioningState"] = ("Updating" if old else "Creating") if declared.provision else "Succeeded"
    archived = bool(declared.archivable and doc["properties"].get("isArchived"))
    lookup = declared.lookup(doc) if declared.lookup else None
    before, was_archived = (old.doc, old.archived) if old else (None, False)
    if hook := SEALING.get(declared.key):
        hook(tx, rid.key, doc, before, context)
    if old is None:
        row = resources.insert(tx, rid, doc, facts.now, lookup=lookup, archived=archived)
    else:
        old.doc, old.lookup, old.archived = doc, lookup, archived
        row = resources.update(tx, old, facts.now)
    if declared.versions and (before is None or archived != was_archived):
        versions.count(tx, declared, rid.parent, facts.now, added=rid.name if before is None else "")
    task_id = tasks.enqueue(tx, declared.provision, row.key, {}, facts.now) if declared.provision else None
    if done := WRITTEN.get(declared.key):
        done(tx, row, before, context)
    return row, before is not None, task_id


async def _delete(ctx: Context, target: Target) -> Response:
    task_id, gone = await ctx.db.write(remove, target, facts(ctx), ctx.request.headers.get("if-match"))
    if task_id and gone:
        return Response(status_code=202, headers=operation_headers(ctx, task_id, gone))
    return Response(status_code=target.declared.deleted if gone else 204)


def remove(tx: Tx, target: Target, facts: Facts, if_match: str | None = None) -> tuple[str | None, str | None]:
    """Deletes a resource, or starts the task that does. Returns the task's id and the id of what goes or is gone; None, None when
    there was none."""
    declared = target.declared
    row = resources.get(tx, target.rid.key)
    if row is None:
        return None, None
    check_conditions(row.etag, if_match, None, row.name)
    if declared.deprovision and _state(row) == "Deleting" and (running := tasks.open_for(tx, row.key, declared.deprovision)):
        return running.id, row.id
    context = _context(parse(row.id), facts)
    for hook in DELETING.get(declared.key, ()):
        hook(tx, row, context)
    if declared.deprovision:
        row.properties["provisioningState"] = "Deleting"
        resources.update(tx, row, facts.now)
        return tasks.enqueue(tx, declared.deprovision, row.key, {}, facts.now), row.id
    removal.remove(tx, row.key, facts.now)
    if declared.versions:
        versions.count(tx, declared, target.rid.parent, facts.now)
    return None, row.id


async def _act(ctx: Context, target: Target) -> Response:
    body = await ctx.json()
    row = await ctx.db.read(resources.get, target.rid.key)
    if row is None:
        if target.verb not in BEFORE_THEIR_RESOURCE:
            raise await ctx.db.read(_missing, target)
        row = Row(0, target.rid.key, str(target.rid), target.declared.key, target.rid.parent.key, target.rid.workspace.key,
                  target.rid.name, None, False, "", {"properties": {}}, 0.0, 0.0)
    return await ACTIONS[(target.declared.key, target.verb)](Call(ctx, target, row, body))


def _parent_row(tx: Tx, target: Target, facts: Facts) -> Row:
    """The row above, which must exist; the container of a version is made on demand."""
    declared, parent = target.declared, target.rid.parent
    row = resources.get(tx, parent.key)
    if row is None and declared.versions:
        home = resources.get(tx, parent.parent.key)
        if home is not None:
            return versions.make_container(tx, home, REGISTRY[declared.container], parent.name, facts.caller, facts.now)
        parent = parent.parent
    if row is None:
        raise first_missing(tx, parent, parent=True) or not_found(f"'{parent.name}'")
    return row


def _same(new: Doc, old: Doc) -> bool:
    """Whether a document says what is stored already, apart from what the server adds."""

    def said(doc: Doc) -> bytes:
        shown = {k: v for k, v in doc.items() if k not in READ_ONLY}
        shown["properties"] = {k: v for k, v in doc["properties"].items() if k != "provisioningState"}
        return msgspec.json.encode(shown, order="deterministic")

    return said(new) == said(old)


def _spelled(group_id: str) -> tuple[str, str]:
    """Subscription and group as their own ids spell them, so that what lies in them is printed alike."""
    rid = parse(group_id)
    return rid.subscription, rid.group


def _check_states(*rows: Row | None) -> None:
    """Raises ArmError 409 when what is written, or what it lies in, is being deleted."""
    for row in rows:
        if row is not None and _state(row) == "Deleting":
            raise conflict(f"'{row.name}' is being deleted.")


def _state(row: Row) -> str:
    return str(row.properties.get("provisioningState") or "Succeeded")


def _context(rid: ResourceId, facts: Facts, parent: Doc | None = None, workspace: Doc | None = None, patch: bool = False) -> WriteContext:
    return WriteContext(
        rid, facts.caller, facts.now, facts.base_url, facts.gateway_url, facts.location, lambda: str(uuid.uuid4()), parent, workspace, patch,
    )


def _missing(tx: Tx, target: Target) -> ArmError:
    return first_missing(tx, target.rid) or not_found(f"'{target.rid.name}'", target.rid.name)  # made in the meantime: still not then
