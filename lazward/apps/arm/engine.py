"""The generic ARM verbs, once for every type in the REGISTRY. The life of a PUT (ARCHITECTURE.md) is `Engine.put`.

Effects that need the database in the same transaction are hooks: WRITTEN[type] runs after the document is stored,
DELETING[type] before it goes; actions (POST .../cancel) are registered functions. Everything else is the declaration.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.responses import Response

from lazward.apps.arm import listing
from lazward.apps.arm.documents import document
from lazward.apps.arm.operations import operation_headers
from lazward.apps.chain import Context, json_response
from lazward.contract.envelope import TERMINAL, check_api_version, system_data
from lazward.contract.errors import ArmError, bad_request, conflict, not_found, not_implemented
from lazward.contract.ids import ML, ResourceId, check_name, parse
from lazward.domain.resource import (
    PRIVATE,
    REGISTRY,
    Doc,
    ResourceType,
    WriteContext,
    check_immutable,
    check_shape,
    merge_patch,
)
from lazward.storage import resources, tasks
from lazward.storage.db import Tx
from lazward.storage.resources import Row

Written = Callable[[Tx, Row, Doc | None, WriteContext], None]
Deleting = Callable[[Tx, Row, WriteContext], None]

WRITTEN: dict[str, Written] = {}
DELETING: dict[str, Deleting] = {}

READ_ONLY = ("id", "name", "type", "systemData", "etag", PRIVATE)


@dataclass(frozen=True)
class Target:
    """What a path points at: an item, a collection (rid.name == "") or an action on an item (verb)."""

    declared: ResourceType
    rid: ResourceId
    verb: str = ""


@dataclass
class Call:
    """An action on an existing resource, after the access check."""

    ctx: Context
    target: Target
    row: Row
    body: Any

    @property
    def key(self) -> str:
        return self.row.key


Action = Callable[[Call], Awaitable[Response]]
ACTIONS: dict[tuple[str, str], Action] = {}
ACTION_RIGHTS: dict[tuple[str, str], str] = {}


def written(path: str, provider: str = ML) -> Callable[[Written], Written]:
    def register(fn: Written) -> Written:
        WRITTEN[f"{provider}/{path}".lower()] = fn
        return fn

    return register


def deleting(path: str, provider: str = ML) -> Callable[[Deleting], Deleting]:
    def register(fn: Deleting) -> Deleting:
        DELETING[f"{provider}/{path}".lower()] = fn
        return fn

    return register


def action(path: str, verb: str, *, right: str = "", provider: str = ML) -> Callable[[Action], Action]:
    """Registers POST {path}/{verb}. right: the RBAC action below the type when it is not "{verb}/action"."""

    def register(fn: Action) -> Action:
        key = (f"{provider}/{path}".lower(), verb.lower())
        ACTIONS[key] = fn
        if right:
            ACTION_RIGHTS[key] = right
        return fn

    return register


async def handle_path(ctx: Context) -> Response:
    """One request below /subscriptions/."""
    ctx.params["rest"] = "/subscriptions/" + ctx.params["rest"]
    return await handle(ctx)


async def handle(ctx: Context) -> Response:
    """One request on a resource id: path -> type -> verb."""
    try:
        target = resolve(parse(ctx.params["rest"]))
    except ArmError:
        await ctx.authenticate()  # what exists here and what does not is told to callers only
        raise
    method = ctx.request.method
    await _check_access(ctx, target, method)
    check_api_version(ctx.query.get("api-version"))
    if target.verb:
        return await _act(ctx, target) if method == "POST" else _no_method(method)
    if not target.rid.name:
        return await listing.collection(ctx, target.declared, target.rid) if method == "GET" else _no_method(method)
    if method in ("GET", "HEAD"):
        return await _get(ctx, target)
    if method == "PUT" or (method == "PATCH" and target.declared.patchable):
        if target.declared.managed:
            return _no_method(method)
        return await put(ctx, target, await ctx.json(), patch=method == "PATCH")
    if method == "DELETE":
        return await _delete(ctx, target)
    return _no_method(method)


def resolve(rid: ResourceId) -> Target:
    """The declared type a path belongs to, its segments in canonical case; 404/501 when there is none."""
    declared = REGISTRY.get(rid.full_type.lower())
    if declared:
        return Target(declared, _canonical(rid, declared))
    if rid.segments and not rid.name and len(rid.segments) > 1:
        above = REGISTRY.get(rid.parent.full_type.lower())
        if above:
            verb = rid.segments[-1][0].lower()
            if (above.key, verb) in ACTIONS:
                return Target(above, _canonical(rid.parent, above), verb)
            raise not_implemented(f"'{rid.segments[-1][0]}' on {above.provider}/{above.path}")
    raise not_implemented(f"The resource type '{rid.full_type}'")


async def _check_access(ctx: Context, target: Target, method: str) -> None:
    base = f"{target.declared.provider}/{target.declared.path}"
    if target.verb:
        right = ACTION_RIGHTS.get((target.declared.key, target.verb), f"{target.verb}/action")
        await ctx.require(f"{base}/{right}", str(target.rid))
    elif not target.rid.name and len(target.rid.segments) == 1:
        ctx.allow("lists show only what the caller may read", await ctx.authenticate())
    else:
        right = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}.get(method)
        if right is None:
            _no_method(method)
        await ctx.require(f"{base}/{right}", str(target.rid if target.rid.name else target.rid.parent))


async def _get(ctx: Context, target: Target) -> Response:
    row = await ctx.db.read(resources.get, target.rid.key)
    if row is None:
        raise await ctx.db.read(_missing, target)
    if ctx.request.headers.get("if-none-match", "").strip('"') == row.etag:
        return Response(status_code=304, headers={"ETag": f'"{row.etag}"'})
    return json_response(document(target.declared, row), headers={"ETag": f'"{row.etag}"'})


async def put(ctx: Context, target: Target, body: Any, *, patch: bool = False) -> Response:
    """PUT (create or replace) and PATCH (merge): check, before_write, store and enqueue in one transaction, answer."""
    if not isinstance(body, dict):
        raise bad_request("The request body must be a JSON object.", "body", "InvalidRequestContent")
    row, existed, task_id = await ctx.db.write(
        store, target, body, facts(ctx), patch=patch,
        if_match=ctx.request.headers.get("if-match"), if_none_match=ctx.request.headers.get("if-none-match"),
    )
    declared = target.declared
    headers = {"ETag": f'"{row.etag}"'}
    if task_id:
        headers |= operation_headers(ctx, task_id, row.id)
    return json_response(document(declared, row), declared.updated if existed else declared.created, headers)


@dataclass(frozen=True)
class Facts:
    """What of the request and settings a write needs; makes the write itself independent of HTTP."""

    caller: Any
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
    old = resources.get(tx, rid.key)
    _check_conditions(old, if_match, if_none_match, rid)
    if patch and old is None:
        raise _missing(tx, target)
    above = _parent_row(tx, declared, rid, facts)
    if old is None and above is not None:
        rid = parse(above.id + f"/{rid.segments[-1][0]}/{rid.name}") if len(rid.segments) > 1 else rid
    doc = {k: v for k, v in body.items() if k not in READ_ONLY}
    if patch and old is not None:
        doc = merge_patch({k: v for k, v in old.doc.items() if k not in READ_ONLY}, doc)
    doc = copy.deepcopy(doc)
    check_shape(declared, doc)
    doc["properties"].pop("provisioningState", None)
    if old is not None and PRIVATE in old.doc:
        doc[PRIVATE] = old.doc[PRIVATE]
    if above is not None and above.properties.get("provisioningState") == "Deleting":
        raise conflict(f"'{above.name}' is being deleted: nothing can be made in it.")
    scope = rid.workspace.key
    workspace = above if above is not None and above.key == scope else resources.get(tx, scope)
    context = WriteContext(
        rid, facts.caller, facts.now, facts.base_url, facts.gateway_url, facts.location, lambda: str(uuid.uuid4()),
        above.doc if above else None, workspace.doc if workspace else None,
    )
    if declared.before_write:
        declared.before_write(doc, copy.deepcopy(old.doc) if old else None, context)
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
    before = old.doc if old else None
    if old is None:
        row = resources.insert(tx, rid, doc, facts.now, lookup=lookup, archived=archived)
        if declared.versions and above is not None:
            _count_version(tx, above, rid.name, facts.now)
    else:
        old.doc, old.lookup, old.archived = doc, lookup, archived
        row = resources.update(tx, old, facts.now)
    task_id = tasks.enqueue(tx, declared.provision, row.key, {}, facts.now) if declared.provision else None
    if hook := WRITTEN.get(declared.key):
        hook(tx, row, before, context)
    return row, before is not None, task_id


async def _delete(ctx: Context, target: Target) -> Response:
    task_id, gone = await ctx.db.write(remove, target, facts(ctx), ctx.request.headers.get("if-match"))
    if task_id:
        return Response(status_code=202, headers=operation_headers(ctx, task_id, str(target.rid)))
    return Response(status_code=target.declared.deleted if gone else 204)


def remove(tx: Tx, target: Target, facts: Facts, if_match: str | None = None) -> tuple[str | None, bool]:
    """Deletes a resource, or starts the task that does. Returns (task id, whether there was one)."""
    declared = target.declared
    row = resources.get(tx, target.rid.key)
    if row is None:
        return None, False
    _check_conditions(row, if_match, None, target.rid)
    context = WriteContext(target.rid, facts.caller, facts.now, facts.base_url, facts.gateway_url, facts.location, lambda: str(uuid.uuid4()))
    if hook := DELETING.get(declared.key):
        hook(tx, row, context)
    if declared.deprovision:
        row.properties["provisioningState"] = "Deleting"
        resources.update(tx, row, facts.now)
        return tasks.enqueue(tx, declared.deprovision, row.key, {}, facts.now), True
    resources.delete(tx, row.key)
    return None, True


async def _act(ctx: Context, target: Target) -> Response:
    body = await ctx.json()
    row = await ctx.db.read(resources.get, target.rid.key)
    if row is None:
        # Some actions come before their resource: an upload for a version that is not there yet.
        if target.verb not in ("startpendingupload",):
            raise await ctx.db.read(_missing, target)
        row = Row(0, target.rid.key, str(target.rid), target.declared.key, target.rid.parent.key, target.rid.workspace.key,
                  target.rid.name, None, False, "", {"properties": {}}, 0.0, 0.0)
    return await ACTIONS[(target.declared.key, target.verb)](Call(ctx, target, row, body))


def _canonical(rid: ResourceId, declared: ResourceType) -> ResourceId:
    kinds = declared.path.split("/")
    segments = tuple((kind, name) for kind, (_, name) in zip(kinds, rid.segments, strict=True))
    return ResourceId(rid.subscription, rid.group, declared.provider, segments, rid.scope)


def _parent_row(tx: Tx, declared: ResourceType, rid: ResourceId, facts: Facts) -> Row | None:
    """The row above, which must exist; the container of a version is made on demand."""
    parent = rid.parent
    row = resources.get(tx, parent.key)
    if row is None and declared.versions:
        check_name(parent.name)
        container = REGISTRY[declared.container]
        grand = resources.get(tx, parent.parent.key)
        if grand is None:
            raise not_found(f"The {parent.parent.full_type} '{parent.parent.name}'", code="ResourceNotFound")
        doc: Doc = {"properties": {"isArchived": False, "tags": {}, "properties": {}, "provisioningState": "Succeeded"}}
        doc["systemData"] = system_data(facts.caller, facts.now, None)
        return resources.insert(tx, parse(f"{grand.id}/{container.collection}/{parent.name}"), doc, facts.now)
    if row is None:
        if not parent.provider:
            raise not_found(f"Resource group '{parent.group}'", code="ResourceGroupNotFound")
        raise not_found(f"The {parent.full_type} '{parent.name}'", code="ParentResourceNotFound" if len(parent.segments) > 1 else "ResourceNotFound")
    return row


def _same(new: Doc, old: Doc) -> bool:
    """Whether a document says what is stored already, apart from what the server adds."""

    def said(doc: Doc) -> bytes:
        shown = {k: v for k, v in doc.items() if k not in READ_ONLY}
        shown["properties"] = {k: v for k, v in doc["properties"].items() if k != "provisioningState"}
        return msgspec.json.encode(shown, order="deterministic")

    return said(new) == said(old)


def _count_version(tx: Tx, container: Row, version: str, now: float) -> None:
    properties = container.properties
    properties["latestVersion"] = version
    numbers = [int(v) for v in (version, str(int(properties.get("nextVersion") or 1) - 1)) if v.isdecimal() and len(v) < 18]
    properties["nextVersion"] = str(max(numbers, default=0) + 1)
    resources.update(tx, container, now)


def _check_conditions(row: Row | None, if_match: str | None, if_none_match: str | None, rid: ResourceId) -> None:
    if if_none_match == "*" and row is not None:
        raise ArmError(412, "PreconditionFailed", f"'{rid.name}' exists already (If-None-Match: *).", "If-None-Match")
    if if_match and if_match != "*" and (row is None or if_match.removeprefix("W/").strip('"') != row.etag):
        raise ArmError(412, "PreconditionFailed", f"'{rid.name}' has changed since it was read (If-Match).", "If-Match")


def _missing(tx: Tx, target: Target) -> ArmError:
    """404 that names the first missing piece of the path."""
    for rid in (ResourceId(target.rid.subscription), ResourceId(target.rid.subscription, target.rid.group)):
        if rid.key and not resources.exists(tx, rid.key):
            code = "ResourceGroupNotFound" if rid.group else "SubscriptionNotFound"
            return not_found(f"{'Resource group' if rid.group else 'The subscription'} '{rid.name}'", code=code)
    above = target.rid.workspace
    if target.rid.segments[1:] and not resources.exists(tx, above.key):
        return not_found(f"The {above.full_type} '{above.name}' under resource group '{above.group}'")
    return not_found(f"{target.declared.provider}/{target.declared.path} '{target.rid.name}'", target.rid.name)


def _no_method(method: str) -> Response:
    raise ArmError(405, "MethodNotAllowed", f"The method {method} is not supported for this resource.")
