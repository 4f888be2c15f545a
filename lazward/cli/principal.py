"""`lazward principal`: the identities that may sign in, and their roles from the start."""

from __future__ import annotations

import json as json_module
import time
from typing import TYPE_CHECKING, Any

from lazward.cli import state
from lazward.cli.output import OK, USAGE, columns, fail, show, show_json
from lazward.cli.state import ACTOR, State

if TYPE_CHECKING:
    from lazward.domain.rbac import Role
    from lazward.storage.access import Principal
    from lazward.storage.db import Tx


def create(name: str, *, role: list[str] | None = None, scope: str | None = None, data_dir: str | None = None, json: bool = False) -> int:
    """Make a service principal and print its client id and secret. The secret is shown this once only.

    Parameters
    ----------
    name
        What people know it by; must not be taken.
    role
        A role to give it, by name ("AzureML Data Scientist") or id; may be repeated. Without one it may sign in and nothing else.
    scope
        Where the roles hold: /, or the id of a subscription, resource group, workspace or another resource.
    data_dir
        Folder of all local state, as given to `lazward up`.
    json
        Print JSON.
    """
    if role and not scope:
        fail("A role needs a place where it holds.", "Name it with --scope, as in --scope /subscriptions/ID/resourceGroups/NAME; / is everything.", USAGE)
    if scope and not role:
        fail("A scope without a role gives nothing.", "Name a role with --role.", USAGE)
    with state.opened(data_dir) as here:
        from lazward.identity.tokens import hash_secret, new_secret
        from lazward.storage import access

        secret = new_secret()

        def make(tx: Tx) -> tuple[Principal, list[str]]:
            if any(known.name.lower() == name.lower() for known in access.principals(tx)):
                fail(f"There is a principal named '{name}' already.", "Choose another name, or see `lazward principal list`.")
            roles = [_role(tx, text, scope or "") for text in dict.fromkeys(role or ())]
            made = access.create_principal(tx, name, "ServicePrincipal", hash_secret(here.master_key, secret), time.time(), actor=ACTOR)
            for given in {one.id: one for one in roles}.values():
                access.assign(tx, scope or "", made.id, given.id, time.time(), {"principalType": "ServicePrincipal", "scope": scope}, actor=ACTOR)
            here.authority.changed(tx)
            return made, [given.name for given in roles]

        made, roles = _write(here, make)
        _show_secret(here, made, secret, json, roles=roles, scope=scope)
    return OK


def list_all(*, data_dir: str | None = None, json: bool = False) -> int:
    """Show every principal with its ids, whether it may sign in, and its roles.

    Parameters
    ----------
    data_dir
        Folder of all local state, as given to `lazward up`.
    json
        Print JSON.
    """
    with state.opened(data_dir) as here:
        rows = here.db.read_now(_listed)
    if json:
        show_json(rows)
        return OK
    table = [("name", "client id", "object id", "state", "roles")]
    for row in rows:
        roles = ", ".join(f"{given['role']} at {given['scope']}" for given in row["roles"]) or "none"
        table.append((row["name"], row["client_id"] or "", row["object_id"], "enabled" if row["enabled"] else "disabled", roles))
    show(columns(table))
    return OK


def disable(who: str, *, data_dir: str | None = None) -> int:
    """End every sign-in of a principal, and refuse it until it is enabled again. Its jobs that run lose their identity.

    Parameters
    ----------
    who
        Its name, client id or object id.
    data_dir
        Folder of all local state, as given to `lazward up`.
    """
    return _set_enabled(who, data_dir, False)


def enable(who: str, *, data_dir: str | None = None) -> int:
    """Let a disabled principal sign in again, with the secret and roles it had.

    Parameters
    ----------
    who
        Its name, client id or object id.
    data_dir
        Folder of all local state, as given to `lazward up`.
    """
    return _set_enabled(who, data_dir, True)


def delete(who: str, *, data_dir: str | None = None) -> int:
    """Remove a principal and its role assignments, for good.

    Parameters
    ----------
    who
        Its name, client id or object id.
    data_dir
        Folder of all local state, as given to `lazward up`.
    """
    with state.opened(data_dir) as here:
        from lazward.storage import access

        def remove(tx: Tx) -> Principal:
            found = _find(tx, who)
            if found.id == _first(here).get("object_id"):
                fail(f"'{found.name}' is the principal of this data dir, which `lazward env` signs in with.", f"Disable it instead: lazward principal disable {found.app_id}")
            access.delete_principal(tx, found.id, time.time(), actor=ACTOR)
            here.authority.changed(tx)
            return found

        show(f"{_write(here, remove).name} is gone, and its role assignments with it.")
    return OK


def secret(who: str, *, data_dir: str | None = None, json: bool = False) -> int:
    """Replace the secret of a principal and print the new one, this once only. The old one and sign-ins made with it end.

    Parameters
    ----------
    who
        Its name, client id or object id.
    data_dir
        Folder of all local state, as given to `lazward up`.
    json
        Print JSON.
    """
    with state.opened(data_dir) as here:
        from lazward.identity.tokens import hash_secret, new_secret
        from lazward.orchestration.bootstrap import FIRST_PRINCIPAL, hand_over
        from lazward.storage import access

        fresh = new_secret()
        first = _first(here)

        def replace(tx: Tx) -> Principal:
            found = _find(tx, who)
            access.set_secret(tx, found.id, hash_secret(here.master_key, fresh), time.time(), actor=ACTOR)
            if found.id == first.get("object_id"):
                here.vault.put_json(tx, FIRST_PRINCIPAL, {**first, "secret": fresh}, time.time())
            here.authority.changed(tx)
            return found

        found = _write(here, replace)
        hand_over(here.db, here.vault, here.layout.principal_file)
        _show_secret(here, found, fresh, json)
    return OK


def _set_enabled(who: str, data_dir: str | None, enabled: bool) -> int:
    with state.opened(data_dir) as here:
        from lazward.storage import access

        def change(tx: Tx) -> Principal:
            found = _find(tx, who)
            access.set_enabled(tx, found.id, enabled, time.time(), actor=ACTOR)
            here.authority.changed(tx)
            return found

        show(f"{_write(here, change).name} is {'enabled' if enabled else 'disabled'}.")
    return OK


def _write(here: State, fn: Any) -> Any:
    """One transaction; what it refuses ends the command."""
    from lazward.contract.errors import ArmError

    try:
        return here.db.write_now(fn)
    except ArmError as error:
        fail(error.message, "See `lazward principal list`.")


def _find(tx: Tx, who: str) -> Principal:
    from lazward.storage import access

    found = [p for p in access.principals(tx) if who in (p.id, p.app_id) or who.lower() == p.name.lower()]
    if not found:
        fail(f"There is no principal '{who}'.", "See `lazward principal list`.")
    if len(found) > 1:
        fail(f"There are {len(found)} principals named '{who}'.", "Name the one by its client id or object id; see `lazward principal list`.")
    return found[0]


def _role(tx: Tx, text: str, scope: str) -> Role:
    """A role by name or id that can be given at the scope."""
    from lazward.apps.arm.role_assignments import check_role, check_scope
    from lazward.domain.rbac import normal_scope
    from lazward.domain.rbac_roles import BUILT_IN
    from lazward.storage import access, resources

    known = [*BUILT_IN.values(), *(role for role, _ in access.custom_roles(tx))]
    found = next((role for role in known if text.lower() in (role.name.lower(), role.id)), None)
    if found is None:
        fail(f"There is no role '{text}'.", f"One of: {', '.join(sorted(role.name for role in known))}.", USAGE)
    at = normal_scope(scope)
    if not scope.startswith("/"):
        fail(f"The scope '{scope}' is not a resource id.", "It begins with /subscriptions/, or is / for everything.", USAGE)
    check_scope(tx, at)
    if "/providers/" in at and not resources.exists(tx, at):
        fail(f"There is no resource {scope}.", "Name one that is there, or something above it.")
    check_role(tx, found.id, at)
    return found


def _listed(tx: Tx) -> list[dict[str, Any]]:
    from lazward.domain.rbac_roles import BUILT_IN
    from lazward.storage import access

    names = {role.id: role.name for role in (*BUILT_IN.values(), *(role for role, _ in access.custom_roles(tx)))}
    given = access.assignments(tx)
    return [
        {
            "name": p.name, "client_id": p.app_id, "object_id": p.id, "kind": p.kind, "enabled": p.enabled,
            "roles": [{"role": names.get(a.role, a.role), "scope": a.scope} for a in given if a.principal == p.id],
        }
        for p in access.principals(tx)
    ]


def _first(here: State) -> dict[str, Any]:
    """What keys/principal.json says; empty where that was moved elsewhere."""
    try:
        return json_module.loads(here.layout.principal_file.read_bytes())
    except (OSError, ValueError):
        return {}


def _show_secret(here: State, made: Principal, secret: str, json: bool, **more: Any) -> None:
    facts = {"name": made.name, "tenant_id": here.tenant, "client_id": made.app_id, "object_id": made.id, "secret": secret}
    if json:
        show_json({**facts, "authority": here.settings.base_url, **more})
        return
    show(columns([(name.replace("_", " "), str(value)) for name, value in facts.items()]))
    if more.get("roles"):
        show(f"{', '.join(more['roles'])} at {more['scope']}")
    show("The secret is not kept in clear: store it now. How to sign in with it: docs/guides/identity.md.")
