"""The first start: a tenant, a signing key, one random principal that owns everything, a subscription, group and workspace.

There is no default password: the principal's secret is 256 random bits, written once to a file that only the user can read.
"""

from __future__ import annotations

import re
import secrets
import uuid
from pathlib import Path
from typing import Any

import msgspec

from lazward.contract.caller import SYSTEM, Caller
from lazward.contract.ids import ML, ResourceId, parse
from lazward.domain.curated import all_curated
from lazward.domain.rbac_roles import OWNER
from lazward.domain.resource import REGISTRY, WriteContext
from lazward.identity.private_files import write_private
from lazward.identity.tokens import hash_secret
from lazward.orchestration.workspaces import add_curated, seed_workspace
from lazward.storage import access, resources
from lazward.storage.db import Database, Tx

GROUP, WORKSPACE = "lazward", "main"
META = "installation"


def first_start(db: Database, vault: Any, authority_of: Any, master_key: bytes, principal_file: Path, settings: Any, now: float) -> str:
    """Idempotent; returns the tenant id. The principal's file is written before the database commits, so that a crash between
    leaves a file to be overwritten, never a principal nobody knows the secret of."""
    known = db.read_now(vault.get_json, META)
    if known:
        db.write_now(_move_addresses, vault, known, settings, now)
        if not principal_file.exists():
            raise SystemExit(f"{principal_file} is missing: restore it from a backup, or make a new principal with `lazward principal create`.")
        return known["tenant_id"]
    secret = secrets.token_urlsafe(32)

    def make(tx: Tx) -> dict[str, str]:
        done = vault.get_json(tx, META)
        if done:
            return done
        meta = {"tenant_id": str(uuid.uuid4()), "subscription_id": str(uuid.uuid4()), "base_url": settings.base_url, "gateway_url": settings.gateway_url}
        made = access.create_principal(tx, "local-admin", "ServicePrincipal", hash_secret(master_key, secret), now)
        access.assign(tx, "/", made.id, OWNER, now, {"principalType": "ServicePrincipal"})
        authority_of(meta["tenant_id"]).rotate_key(tx, now)
        caller = Caller(id=made.id, name=made.name, tenant=meta["tenant_id"], app_id=made.app_id or "")
        seed_platform(tx, meta["subscription_id"], caller, settings, now)
        vault.put_json(tx, META, meta, now)
        write_private(principal_file, msgspec.json.format(msgspec.json.encode({
            "client_id": made.app_id, "object_id": made.id, "secret": secret, "resource_group": GROUP, "workspace": WORKSPACE,
            "tenant_id": meta["tenant_id"], "subscription_id": meta["subscription_id"],
        })))
        return meta

    return db.write_now(make)["tenant_id"]


def seed_platform(tx: Tx, subscription: str, caller: Caller, settings: Any, now: float) -> None:
    """The subscription, the group, the workspace with what is in it, and the built-in registry `azureml`."""
    location = settings.location
    sub = ResourceId(subscription)
    resources.insert(tx, sub, {"displayName": "Lazward"}, now, type_="microsoft.resources/subscriptions", parent="")
    group = ResourceId(subscription, GROUP)
    resources.insert(tx, group, {"location": location, "tags": {}, "properties": {"provisioningState": "Succeeded"}}, now, type_="microsoft.resources/subscriptions/resourcegroups", parent=sub.key)
    workspace = _insert(tx, f"{group}/providers/{ML}/workspaces/{WORKSPACE}", caller, settings, now)
    seed_workspace(tx, workspace, caller, now, settings.base_url)
    registry = _insert(tx, f"{group}/providers/{ML}/registries/azureml", SYSTEM, settings, now)
    for known in all_curated():
        add_curated(tx, registry, known.name, known, SYSTEM, now)


def _move_addresses(tx: Tx, vault: Any, known: dict[str, str], settings: Any, now: float) -> None:
    """Documents hold our own addresses (discovery, tracking, scoring, the datastores' accounts). When host or port of the server
    have changed since the last start, they are rewritten, so that old resources lead here and not to where it was."""
    moved = {
        old.removeprefix("https://"): new.removeprefix("https://")
        for old, new in ((known.get("base_url", ""), settings.base_url), (known.get("gateway_url", ""), settings.gateway_url)) if old and old != new
    }
    if not moved:
        return
    for row in resources.holding(tx, list(moved)):
        text = msgspec.json.encode(row.doc).decode()
        # One pass, so that two addresses that swap are not mistaken for each other.
        row.doc = msgspec.json.decode(re.sub("|".join(map(re.escape, moved)), lambda m: moved[m.group(0)], text))
        resources.update(tx, row, now)
    vault.put_json(tx, META, {**known, "base_url": settings.base_url, "gateway_url": settings.gateway_url}, now)


def _insert(tx: Tx, resource_id: str, caller: Caller, settings: Any, now: float) -> resources.Row:
    from lazward.contract.envelope import system_data

    rid = parse(resource_id)
    declared = REGISTRY[rid.full_type.lower()]
    doc: dict[str, Any] = {"properties": {}, "systemData": system_data(caller, now, None)}
    context = WriteContext(rid, caller, now, settings.base_url, settings.gateway_url, settings.location, lambda: str(uuid.uuid4()))
    if declared.before_write:
        declared.before_write(doc, None, context)
    doc["properties"]["provisioningState"] = "Succeeded"
    return resources.insert(tx, rid, doc, now, lookup=declared.lookup(doc) if declared.lookup else None)
