"""Actions and effects of online endpoints and deployments."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from lazward.apps.arm.actions_workspaces import ctx_vault
from lazward.apps.arm.hooks import Call, action, deleting, sealing, written
from lazward.apps.arm.operations import operation_headers
from lazward.apps.chain import json_response
from lazward.contract.errors import bad_request
from lazward.contract.ids import parse
from lazward.domain.resource import Doc, WriteContext
from lazward.domain.resources.endpoints import route_pieces
from lazward.domain.serving import endpoint_token_claims
from lazward.orchestration.deployments import check_references, log_folder
from lazward.orchestration.endpoints import check_no_traffic, check_traffic, forget_deployment, new_key
from lazward.orchestration.logs import tail
from lazward.storage import resources, tasks
from lazward.storage.db import Tx
from lazward.storage.resources import Row

LOGS = {"inference-server": "inference-server-0.txt", "inferenceserver": "inference-server-0.txt", "storage-initializer": "storage-initializer.txt", "storageinitializer": "storage-initializer.txt"}


@sealing("workspaces/onlineEndpoints")
def endpoint_sealing(tx: Tx, key: str, new: Doc, before: Doc | None, ctx: WriteContext) -> None:
    given = new["properties"].pop("keys", None) or {}
    # Keys left by an endpoint that had this id before are nobody's.
    known = (ctx_vault().get_json(tx, f"endpoint:{key}") or {}) if before is not None else {}
    keys = {name: given.get(name) or known.get(name) or new_key() for name in ("primaryKey", "secondaryKey")}
    for name, value in keys.items():
        _check_key(value, f"properties.keys.{name}")
    if keys != known:
        ctx_vault().put_json(tx, f"endpoint:{key}", keys, ctx.now)


@written("workspaces/onlineEndpoints")
def endpoint_written(tx: Tx, row: Row, before: Doc | None, ctx: WriteContext) -> None:
    check_traffic(tx, row)


def _check_key(key: Any, target: str) -> None:
    """Raises ArmError 400 for what could not be sent in a header, or be guessed."""
    if not isinstance(key, str) or not 16 <= len(key) <= 1000 or not key.isascii() or not key.isprintable() or " " in key:
        raise bad_request("A key has 16 to 1000 printable ASCII characters and no space.", target)


@action("workspaces/onlineEndpoints", "listKeys")
async def list_keys(call: Call) -> Response:
    if call.row.properties["authMode"] != "Key":
        raise bad_request(f"The endpoint '{call.row.name}' uses {call.row.properties['authMode']}; it has no keys.", "properties.authMode")
    return json_response(await call.ctx.db.read(ctx_vault().get_json, f"endpoint:{call.key}"))


@action("workspaces/onlineEndpoints", "regenerateKeys")
async def regenerate_keys(call: Call) -> Response:
    body = call.body if isinstance(call.body, dict) else {}
    kind = str(body.get("keyType", ""))
    if kind not in ("Primary", "Secondary"):
        raise bad_request(f"keyType is Primary or Secondary, not '{kind[:40]}'.", "keyType")
    if call.row.properties["authMode"] != "Key":
        raise bad_request(f"The endpoint '{call.row.name}' uses {call.row.properties['authMode']}; it has no keys.", "properties.authMode")
    member = f"{kind.lower()}Key"
    given = body.get("keyValue")
    if given is not None and given != "":
        _check_key(given, "keyValue")

    def save(tx: Tx) -> str:
        known = ctx_vault().get_json(tx, f"endpoint:{call.key}") or {}
        # The SDK sends the current value along with its wish for another one.
        fresh = given if given and given != known.get(member) else new_key()
        ctx_vault().put_json(tx, f"endpoint:{call.key}", {**known, member: fresh}, call.ctx.now)
        return tasks.enqueue(tx, "endpoint.apply", call.key, {}, call.ctx.now)

    return Response(status_code=202, headers=operation_headers(call.ctx, await call.ctx.db.write(save), call.row.id))


@action("workspaces/onlineEndpoints", "token")
async def endpoint_token(call: Call) -> Response:
    if call.row.properties["authMode"] != "AMLToken":
        raise bad_request(f"The endpoint '{call.row.name}' uses {call.row.properties['authMode']}, not AMLToken.", "properties.authMode")
    home = await call.ctx.db.read(resources.get, parse(call.row.id).workspace.key)
    place, name = route_pieces(home.properties["workspaceId"] if home else "", call.row.name)
    claims = endpoint_token_claims(place, name)
    lifetime = call.ctx.services.settings.endpoint_token_lifetime
    authority = call.ctx.services.authority
    token = authority.token_for(call.ctx.caller, claims.pop("aud"), lifetime, **claims)
    expires = int(call.ctx.now) + lifetime
    return json_response({"accessToken": token, "tokenType": "Bearer", "expiryTimeUtc": expires, "refreshAfterTimeUtc": expires - lifetime // 4})


@written("workspaces/onlineEndpoints/deployments")
def deployment_written(tx: Tx, row: Row, before: Doc | None, ctx: WriteContext) -> None:
    check_references(tx, row)


@deleting("workspaces/onlineEndpoints/deployments")
def deployment_deleting(tx: Tx, row: Row, ctx: WriteContext) -> None:
    check_no_traffic(tx, row)
    forget_deployment(tx, row, ctx.now)


@action("workspaces/onlineEndpoints/deployments", "getLogs")
async def get_logs(call: Call) -> Response:
    body = call.body if isinstance(call.body, dict) else {}
    kind = str(body.get("containerType") or "inference-server").lower()
    if kind not in LOGS:
        raise bad_request("containerType is InferenceServer or StorageInitializer.", "containerType")
    lines = body.get("tail")
    lines = 200 if lines is None else lines
    if not isinstance(lines, int) or not 0 < lines <= 100_000:
        raise bad_request("tail is a number of lines, 1 to 100000.", "tail")
    path = log_folder(call.ctx.services.settings.layout.root, call.key) / LOGS[kind]
    return json_response({"content": await asyncio.to_thread(tail, path, lines, 4_000_000)})
