"""Webhooks: what changes in the registry is told to those who asked for it.

The deliveries of a change are tasks written with it, so none is lost and none tells of what did not happen. Each is tried again with growing
pauses; a receiver knows a delivery that comes twice by its id.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from typing import Any

from lazward.contract.errors import ArmError
from lazward.contract.ids import parse
from lazward.domain.addresses import AddressRefused
from lazward.domain.genai.prompts import is_prompt
from lazward.domain.genai.webhooks import Facts, body, changes, headers
from lazward.domain.resource import Doc
from lazward.domain.tracking.registered import RUN, SOURCE, aliases_of
from lazward.execution.outbound import Outbound, OutboundFailed
from lazward.orchestration.durable import Outcome, Work, handler
from lazward.storage import resources, tasks, webhooks
from lazward.storage.db import Tx
from lazward.storage.resources import Row
from lazward.storage.webhooks import Webhook

DELIVER = "webhook.deliver"
TIMEOUT_S = 30.0
TRIES, FIRST_PAUSE_S, LAST_PAUSE_S = 10, 1.0, 3600.0
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})

log = logging.getLogger("lazward.worker")


def container_written(tx: Tx, row: Row, before: Doc | None, now: float) -> None:
    """row: a model or a prompt, as it was stored; before: its document until then."""
    _tell(tx, row.scope, _facts(row, before), _facts(row, row.doc), now)


def version_written(tx: Tx, row: Row, before: Doc | None, now: float) -> None:
    """row: a version. Its container may be new, too: ARM makes one without being asked."""
    container = resources.get(tx, row.parent)
    if before is None and container is not None and container.created == row.created:
        container_written(tx, container, None, now)
    _tell(tx, row.scope, _facts(row, before), _facts(row, row.doc), now)


def _tell(tx: Tx, workspace: str, before: Facts | None, after: Facts | None, now: float) -> None:
    if after is None:
        return
    for event, data in changes(before, after):
        for webhook in webhooks.listening(tx, workspace, event):
            delivery = str(uuid.uuid4())
            at = dt.datetime.fromtimestamp(now, dt.UTC).isoformat()
            state = {"workspace": workspace, "webhook": webhook, "delivery": delivery, "event": event, "at": at, "data": data}
            tasks.enqueue(tx, DELIVER, f"{workspace}/webhooks/{webhook}/deliveries/{delivery}", state, now)


def _facts(row: Row, doc: Doc | None) -> Facts | None:
    if doc is None:
        return None
    facts = doc.get("properties") or {}
    rid, versions = parse(row.id), row.type.endswith("/versions")
    prompt = "/prompts" in row.type
    tags = _texts(facts.get("labels" if prompt else "tags"))
    own = _texts(facts.get("properties"))
    return Facts(
        name=rid.parent.name if versions else rid.name, prompt=prompt or is_prompt(tags), tags=tags, description=facts.get("description"),
        version=rid.name if versions else "", source=own.get(SOURCE) or facts.get("modelUri") or "", run=own.get(RUN) or facts.get("jobName"),
        aliases={} if versions else aliases_of(own),
    )


def _texts(given: Any) -> dict[str, str]:
    return {key: "" if value is None else str(value) for key, value in (given or {}).items()}


@handler(DELIVER, tries=5)
async def deliver(work: Work) -> Outcome:
    """One delivery to one receiver. Success is any answer below 300; 3xx is none, for redirects are not followed."""
    runtime, state = work.services, work.state
    found, secret = await runtime.db.read(_receiver, state["workspace"], runtime.vault, state["webhook"])
    if found is None or found.status != "ACTIVE":
        return Outcome()  # nobody wants to hear of it any more
    web = Outbound(runtime.settings.outbound_allow_http, runtime.settings.outbound_allow_private)
    try:
        status, _ = await send(web, found.url, secret, state["event"], state["at"], state["data"], state["delivery"], int(work.now()))
    except AddressRefused as refused:
        return _given_up(found, str(refused))
    except OutboundFailed as failed:
        reason = str(failed)
    else:
        if status < 300:
            return Outcome()
        reason = f"It answered {status}."
        if status not in AGAIN:
            return _given_up(found, reason)
    tries = state.get("tries", 0) + 1
    if tries >= TRIES:
        return _given_up(found, f"{reason} It was tried {tries} times.")
    await work.checkpoint(tries=tries)
    return Outcome("InProgress", delay=min(FIRST_PAUSE_S * 3 ** (tries - 1), LAST_PAUSE_S))


async def send(web: Outbound, url: str, secret: str | None, event: str, at: str, data: dict[str, Any], delivery: str, now: int) -> tuple[int, str]:
    """(status, start of the answer). Raises AddressRefused, OutboundFailed."""
    sent = body(event, at, data)
    answer = await web.send("POST", url, headers=headers(delivery, now, sent, secret), body=sent, timeout_s=TIMEOUT_S)
    return answer.status, answer.body.decode("utf-8", "replace")


def _receiver(tx: Tx, workspace: str, vault: Any, id_: str) -> tuple[Webhook | None, str | None]:
    return webhooks.find(tx, workspace, id_), webhooks.secret_of(tx, workspace, vault, id_)


def _given_up(found: Webhook, reason: str) -> Outcome:
    log.warning("a delivery to the webhook '%s' (%s) is given up: %s", found.name, found.id, reason)
    return Outcome("Failed", ArmError(400, "DeliveryFailed", f"The webhook '{found.name}' could not be reached. {reason}"))
