"""Webhooks: what can happen, what is told of it, and how a delivery is signed. As MLflow's server does it, so that receivers need no change."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from lazward.contract.mlflow import invalid
from lazward.domain.genai.enums import read_enum
from lazward.domain.genai.prompts import IS_PROMPT, KIND, TEXT

Data = dict[str, Any]
Happening = tuple[str, Data]  # event, what is told

STATUSES = ("ACTIVE", "DISABLED")
DELIVERY, TIMESTAMP, SIGNATURE = "X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature"
MAX_EVENTS, MAX_SECRET = 100, 10_000

_ENTITIES = (
    "REGISTERED_MODEL", "MODEL_VERSION", "MODEL_VERSION_TAG", "MODEL_VERSION_ALIAS", "PROMPT", "PROMPT_VERSION", "PROMPT_TAG", "PROMPT_VERSION_TAG", "PROMPT_ALIAS",
    "BUDGET_POLICY",
)
_ACTIONS = ("CREATED", "UPDATED", "DELETED", "SET", "EXCEEDED")
_NAME = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)

# Every event there is, with what a test of a webhook sends.
_MODEL, _PROMPT = {"name": "example_model"}, {"name": "example_prompt"}
_KEY, _ALIAS = {"key": "example_key"}, {"alias": "example_alias"}
_SET, _TAGS = {**_KEY, "value": "example_value"}, {"tags": {"example_key": "example_value"}}
EXAMPLES: dict[str, Data] = {
    "registered_model.created": {**_MODEL, **_TAGS, "description": "An example registered model"},
    "model_version.created": {
        **_MODEL, "version": "1", "source": "models:/123", "run_id": "abcd1234abcd5678", **_TAGS, "description": "An example model version",
    },
    "model_version_tag.set": {**_MODEL, "version": "1", **_SET},
    "model_version_tag.deleted": {**_MODEL, "version": "1", **_KEY},
    "model_version_alias.created": {**_MODEL, **_ALIAS, "version": "1"},
    "model_version_alias.deleted": {**_MODEL, **_ALIAS},
    "prompt.created": {**_PROMPT, **_TAGS, "description": "An example prompt"},
    "prompt_version.created": {**_PROMPT, "version": "1", "template": "Hello {{name}}!", **_TAGS, "description": "An example prompt version"},
    "prompt_tag.set": {**_PROMPT, **_SET},
    "prompt_tag.deleted": {**_PROMPT, **_KEY},
    "prompt_version_tag.set": {**_PROMPT, "version": "1", **_SET},
    "prompt_version_tag.deleted": {**_PROMPT, "version": "1", **_KEY},
    "prompt_alias.created": {**_PROMPT, **_ALIAS, "version": "1"},
    "prompt_alias.deleted": {**_PROMPT, **_ALIAS},
}
NEVER = "budget_policy.exceeded"  # there is no gateway whose budget could be


class Facts(msgspec.Struct, frozen=True):
    """What events tell of a model, a prompt, or a version of one (version is "" for none). aliases: alias -> version."""

    name: str
    prompt: bool
    tags: dict[str, str]
    description: str | None = None
    version: str = ""
    source: str = ""
    run: str | None = None
    aliases: dict[str, str] = {}


def check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise invalid(
            f"Webhook name {name[:100]!r} is invalid. It must start and end with a letter or digit, have at most 63 characters, and contain only letters, "
            "digits, dots (.), underscores (_), and hyphens (-).", "name",
        )
    return name


def read_event(given: Any, path: str) -> str:
    """"model_version.created" from {entity, action}."""
    if not isinstance(given, dict):
        raise invalid(f"Invalid value for parameter '{path}' supplied: it must be an object of entity and action.", path)
    entity = read_enum(given.get("entity"), f"{path}.entity", _ENTITIES)
    event = f"{entity}.{read_enum(given.get('action'), f'{path}.action', _ACTIONS)}".lower()
    if event not in EXAMPLES and event != NEVER:
        valid = sorted(known.partition(".")[2] for known in (*EXAMPLES, NEVER) if known.startswith(entity.lower() + "."))
        raise invalid(f"Invalid action '{event.partition('.')[2]}' for entity '{entity.lower()}'. Valid actions are: {valid}", path)
    return event


def read_events(given: list[Any]) -> list[str]:
    if not given or len(given) > MAX_EVENTS:
        raise invalid(f"A webhook listens to 1 to {MAX_EVENTS} events.", "events")
    return list(dict.fromkeys(read_event(one, f"events[{index}]") for index, one in enumerate(given)))


def shown_event(event: str) -> dict[str, str]:
    entity, _, action = event.upper().partition(".")
    return {"entity": entity, "action": action}


def changes(before: Facts | None, after: Facts) -> Iterator[Happening]:
    """What happened to a model, a prompt, or a version of one that is now as `after` says; before: None when it is new."""
    kind = "prompt" if after.prompt else "model"
    if before is None:
        yield _created(after)
        return
    for event, data in _tags(before.tags, after.tags):
        if after.version:
            yield f"{kind}_version_tag.{event}", {"name": after.name, "version": after.version, **data}
        elif after.prompt:  # of models, MLflow tells tags of versions alone
            yield f"prompt_tag.{event}", {"name": after.name, **data}
    aliases = "prompt_alias" if after.prompt else "model_version_alias"
    for alias, version in sorted(after.aliases.items()):
        if before.aliases.get(alias) != version:
            yield f"{aliases}.created", {"name": after.name, "alias": alias, "version": version}
    for alias in sorted(before.aliases.keys() - after.aliases.keys()):
        yield f"{aliases}.deleted", {"name": after.name, "alias": alias}


def _created(new: Facts) -> Happening:
    if not new.prompt and not new.version:
        return "registered_model.created", {"name": new.name, "tags": new.tags, "description": new.description or ""}
    if not new.prompt:
        return "model_version.created", {
            "name": new.name, "version": new.version, "source": new.source, "run_id": new.run or None, "tags": new.tags, "description": new.description or None,
        }
    tags = {key: value for key, value in new.tags.items() if key not in (IS_PROMPT, KIND, TEXT)}
    if not new.version:
        return "prompt.created", {"name": new.name, "tags": tags, "description": new.description or ""}
    return "prompt_version.created", {"name": new.name, "version": new.version, "template": new.tags.get(TEXT), "tags": tags, "description": new.description or None}


def _tags(before: dict[str, str], after: dict[str, str]) -> Iterator[tuple[str, Data]]:
    for key, value in sorted(after.items()):
        if before.get(key) != value:
            yield "set", {"key": key, "value": value}
    for key in sorted(before.keys() - after.keys()):
        yield "deleted", {"key": key}


def body(event: str, at: str, data: Data) -> bytes:
    """What is sent. at: when it happened, in ISO format."""
    entity, _, action = event.partition(".")
    return json.dumps({"entity": entity, "action": action, "timestamp": at, "data": data}).encode()


def headers(delivery: str, timestamp: int, sent: bytes, secret: str | None) -> dict[str, str]:
    """timestamp: unix seconds of this try. The signature covers it, so that a receiver can tell a delivery from a recording of one."""
    made = {"Content-Type": "application/json", DELIVERY: delivery, TIMESTAMP: str(timestamp)}
    if secret:
        digest = hmac.new(secret.encode(), f"{delivery}.{timestamp}.".encode() + sent, hashlib.sha256).digest()
        made[SIGNATURE] = f"v1,{base64.b64encode(digest).decode()}"
    return made
