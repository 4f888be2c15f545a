"""MLflow's webhooks/* calls. A secret goes into the vault and is never shown again."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json
from lazward.contract.mlflow import invalid
from lazward.domain.addresses import AddressRefused
from lazward.domain.genai import webhooks as rules
from lazward.domain.genai.enums import read_enum
from lazward.execution.outbound import Outbound, OutboundFailed
from lazward.orchestration.webhooks import send
from lazward.storage import webhooks
from lazward.storage.webhooks import Webhook


async def create(call: Call) -> Json:
    name, url = rules.check_name(call.required("name")), await _url(call, call.required("url"))
    events = rules.read_events(call.items("events"))
    status = read_enum(call.args.get("status") or "ACTIVE", "status", rules.STATUSES)
    made = await call.write(webhooks.create, call.ctx.services.vault, name, url, events, call.text("description") or None, _secret(call), status, call.now)
    return {"webhook": _shown(made)}


async def page(call: Call) -> Json:
    found, token = await call.read(webhooks.page, call.limit(100, 1000), call.text("page_token") or None)
    return {"webhooks": [_shown(one) for one in found]} | ({"next_page_token": token} if token else {})


async def get(call: Call) -> Json:
    return {"webhook": _shown(await call.read(webhooks.get, call.path["webhook_id"]))}


async def update(call: Call) -> Json:
    await call.read(webhooks.get, call.path["webhook_id"])  # before its new address is looked up
    changes: dict[str, Any] = {}
    if name := call.text("name"):
        changes["name"] = rules.check_name(name)
    if url := call.text("url"):
        changes["url"] = await _url(call, url)
    if events := call.items("events"):
        changes["events"] = rules.read_events(events)
    if call.args.get("description") is not None:
        changes["description"] = call.text("description")
    if call.args.get("status") is not None:
        changes["status"] = read_enum(call.args["status"], "status", rules.STATUSES)
    secret = None if call.args.get("secret") is None else _secret(call)
    return {"webhook": _shown(await call.write(webhooks.update, call.ctx.services.vault, call.path["webhook_id"], changes, secret, call.now))}


async def delete(call: Call) -> Json:
    await call.write(webhooks.delete, call.ctx.services.vault, call.path["webhook_id"])
    return {}


async def test(call: Call) -> Json:
    """Sends the example of an event, the webhook's first unless one is named, and says what came of it."""
    id_, vault = call.path["webhook_id"], call.ctx.services.vault
    found = await call.read(webhooks.get, id_)
    given = call.args.get("event")
    event = found.events[0] if given is None else rules.read_event(given, "event")
    if event not in rules.EXAMPLES:
        raise invalid(f"The event '{event}' does not happen here, so there is no example of it.", "event")
    secret = await call.read(webhooks.secret_of, vault, id_)
    at = dt.datetime.fromtimestamp(call.now, dt.UTC).isoformat()
    try:
        status, answer = await send(_web(call), found.url, secret, event, at, rules.EXAMPLES[event], str(uuid.uuid4()), int(call.now))
    except (AddressRefused, OutboundFailed) as failed:
        return {"result": {"success": False, "error_message": f"Failed to test webhook: {failed}"}}
    return {"result": {"success": status < 300, "response_status": status, "response_body": answer}}


def _web(call: Call) -> Outbound:
    settings = call.ctx.services.settings
    return Outbound(settings.outbound_allow_http, settings.outbound_allow_private)


async def _url(call: Call, url: str) -> str:
    try:
        await _web(call).check(url)
    except (AddressRefused, OutboundFailed) as refused:
        raise invalid(f"Invalid webhook URL {url[:300]!r}: {refused}", "url") from None
    return url


def _secret(call: Call) -> str:
    secret = call.text("secret")
    if len(secret) > rules.MAX_SECRET:
        raise invalid(f"'secret' exceeds the maximum length of {rules.MAX_SECRET} characters", "secret")
    return secret


def _shown(one: Webhook) -> Json:
    shown = {
        "webhook_id": one.id, "name": one.name, "url": one.url, "events": [rules.shown_event(event) for event in one.events], "status": one.status,
        "creation_timestamp": shapes.milliseconds(one.created), "last_updated_timestamp": shapes.milliseconds(one.updated),
    }
    return shown | ({"description": one.description} if one.description else {})
