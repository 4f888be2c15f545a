"""The first start: a tenant, a signing key, one random principal that owns everything, a subscription, group and workspace.

There is no default password: the principal's secret is 256 random bits, written once to a file that only the user can read.
"""

from __future__ import annotations

import logging
import re
import uuid
from pathlib import Path
from typing import Any

import msgspec

from lazward.contract.caller import SYSTEM, Caller
from lazward.contract.ids import ML, ResourceId, parse
from lazward.domain.curated import all_curated
from lazward.domain.rbac_roles import BLOB_DATA_OWNER, OWNER
from lazward.domain.resource import REGISTRY, WriteContext
from lazward.identity.private_files import write_private
from lazward.identity.tokens import hash_secret, new_secret
from lazward.orchestration.workspaces import add_curated, seed_workspace
from lazward.storage import access, resources
from lazward.storage.db import Database, Tx

GROUP, WORKSPACE = "lazward", "main"
META = "installation"
FIRST_PRINCIPAL = "first-principal"

log = logging.getLogger("lazward")


def first_start(db: Database, vault: Any, authority_of: Any, master_key: bytes, principal_file: Path, settings: Any, now: float) -> str:
    """Idempotent, and safe to run by several processes at once; returns the tenant id.

    The first principal's secret waits, encrypted, in the vault until it is in the file: a crash in between loses nothing, and of two
    processes that start together neither writes a secret that did not become the one.
    """

    def make(tx: Tx) -> dict[str, str]:
        done = vault.get_json(tx, META)
        if done:
            return done
        meta = {"tenant_id": str(uuid.uuid4()), "subscription_id": str(uuid.uuid4()), "base_url": settings.base_url, "gateway_url": settings.gateway_url}
        secret = new_secret()
        made = access.create_principal(tx, "local-admin", "ServicePrincipal", hash_secret(master_key, secret), now)
        for role in (OWNER, BLOB_DATA_OWNER):  # Owner alone opens no blob: that takes a data role (docs/decisions/0016-rbac.md)
            access.assign(tx, "/", made.id, role, now, {"principalType": "ServicePrincipal"})
        authority_of(meta["tenant_id"]).rotate_key(tx, now)
        caller = Caller(id=made.id, name=made.name, tenant=meta["tenant_id"], app_id=made.app_id or "")
        seed_platform(tx, meta["subscription_id"], caller, settings, now)
        vault.put_json(tx, META, meta, now)
        vault.put_json(tx, FIRST_PRINCIPAL, {
            "client_id": made.app_id, "object_id": made.id, "secret": secret, "resource_group": GROUP, "workspace": WORKSPACE,
            "tenant_id": meta["tenant_id"], "subscription_id": meta["subscription_id"],
        }, now)
        return meta

    known = db.read_now(vault.get_json, META) or db.write_now(make)
    db.write_now(_move_addresses, vault, known, settings, now)
    if not hand_over(db, vault, principal_file) and not principal_file.exists():
        # Right for the second server on one database, and for who has moved the secret elsewhere.
        log.warning("%s is missing; `lazward env` needs it. Bring it back from a backup, or copy it from the server that was started first.", principal_file)
    return known["tenant_id"]


def hand_over(db: Database, vault: Any, principal_file: Path) -> bool:
    """Writes the first principal's secret into its file if it waits for that in the vault, so that a crash loses none. Can be repeated."""
    waiting = db.read_now(vault.get_json, FIRST_PRINCIPAL)
    if waiting:
        write_private(principal_file, msgspec.json.format(msgspec.json.encode(waiting)))
        db.write_now(vault.delete, FIRST_PRINCIPAL)
    return bool(waiting)


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
