"""Lines of the security checklist that the issuer and ARM's authorisation answer for; others are in the tests beside the code."""

from __future__ import annotations

import itertools
import logging
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from lazward.contract.ids import ResourceId
from lazward.domain.rbac_roles import BLOB_DATA_OWNER, CONTRIBUTOR, DATA_SCIENTIST, OWNER, READER
from lazward.identity import tokens
from lazward.storage import resources
from lazward.storage.tables import metadata
from tests.apps.identity_app import AT_GROUP, AT_SUB, AT_WS, SUB, TENANT, World, world_in
from tests.apps.token.test_oauth import approve, poll, start
from tests.conftest import Clock

# Every route that asks nobody who they are. A new one must be put here, by somebody who has thought about it.
PUBLIC = {
    "/metadata/endpoints", "/common/discovery/instance", "/device", "/msi/token", "TENANT/v2.0/.well-known/openid-configuration", "TENANT/.well-known/openid-configuration",
    "TENANT/discovery/v2.0/keys", "TENANT/discovery/keys", "TENANT/oauth2/v2.0/token", "TENANT/oauth2/token", "TENANT/oauth2/v2.0/devicecode", "TENANT/oauth2/devicecode",
    "TENANT/oauth2/v2.0/authorize", "TENANT/oauth2/authorize",
}
VERBS = ("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE")
VALUES = {
    "sub": SUB, "group": "g", "name": "11111111-1111-4111-8111-111111111111", "scope": f"{SUB}/resourceGroups/g", "namespace": "Microsoft.Authorization", "tenant": TENANT,
    "kind": "roleAssignments",
}


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    async with world_in(tmp_path, clock, clock) as world:
        yield world


def concrete(pattern: str) -> str:
    return re.sub(r"\{(\w+)(?::(?:[^{}]|\{[^{}]*\})+)?\}", lambda m: VALUES[m.group(1)], pattern)


def paths(world: World) -> set[str]:
    found = {concrete(route.pattern) for route in world.routes if route.access.kind != "public"}
    kinds = ("roleAssignments", "roleDefinitions", "denyAssignments", "permissions", "locks", "classicAdministrators")
    return found | {path.replace("roleAssignments", kind) for path in found for kind in kinds}


def test_s4_what_is_public_is_on_the_list(world: World):
    assert {re.sub(r"^/\{tenant:.*\+\}", "TENANT", route.pattern) for route in world.routes if route.access.kind == "public"} == PUBLIC


async def test_s4_no_route_and_no_verb_answers_a_stranger(world: World):
    foreign = tokens.issue(
        tokens.SigningKeys([tokens.new_key()]), world.authority.caller_of(world.owner), audience="https://localhost:8443", issuer=world.authority.issuer, now=world.now(), lifetime=60,
    )
    other_tenant = world.authority.token_for(world.authority.caller_of(world.owner), "https://localhost:8443", issuer="https://localhost:8443/00000000-0000-0000-0000-000000000000/v2.0")
    old = tokens.issue(world.authority.signing_keys, world.authority.caller_of(world.owner), audience="https://localhost:8443", issuer=world.authority.issuer, now=world.now() - 9999, lifetime=60)
    wrong_service = world.token(world.owner, "https://storage.azure.com")
    attempts: list[dict[str, str]] = [{}, {"Authorization": f"Basic {foreign}"}, {"Cookie": f"token={world.token(world.owner)}"}]
    attempts += [{"Authorization": f"Bearer {token}"} for token in (foreign, other_tenant, old, wrong_service, "x")]
    seen = 0
    for path, verb, headers in itertools.product(sorted(paths(world)), VERBS, attempts):
        for variant in (path, path.upper(), path + "/"):
            answer = await world.client.request(verb, f"{variant}?api-version=2022-04-01", headers=headers, json={} if verb in ("PUT", "POST", "PATCH") else None)
            assert answer.status_code in (401, 405), (verb, variant, headers, answer.status_code, answer.text[:200])
            seen += answer.status_code == 401
    assert seen > 500


async def test_s4_tricks_with_the_path_open_nothing(world: World):
    own = "/providers/Microsoft.Authorization/roleAssignments"
    for path in (f"{AT_SUB}{own}%2f..%2f", f"/healthz/..{AT_SUB}{own}", f"{AT_SUB}/%2e%2e{own}", f"{AT_SUB};x{own}", f"//{AT_SUB}{own}", f"{AT_SUB}{own}%00", f"{AT_SUB}{own}/ready", f"{AT_SUB}{own}/health"):
        answer = await world.client.get(path + "?api-version=2022-04-01")
        assert answer.status_code in (400, 401, 404, 421), (path, answer.status_code)


MATRIX = {
    # role: (read assignments, write them, write definitions, read permissions of one's own, read the group)
    OWNER: (200, 201, 201, 200, 200), CONTRIBUTOR: (200, 403, 403, 200, 200), READER: (200, 403, 403, 200, 200),
    DATA_SCIENTIST: (403, 403, 403, 200, 403), BLOB_DATA_OWNER: (403, 403, 403, 200, 403), "": (403, 403, 403, 200, 403),
}


@pytest.mark.parametrize("role", MATRIX)
async def test_s5_role_by_verb_in_ones_own_group_and_in_anothers(world: World, role: str):
    def other_group(tx):
        rid = ResourceId(SUB, "other")
        resources.insert(tx, rid, {"location": "local", "tags": {}, "properties": {}}, world.now(), type_="microsoft.resources/subscriptions/resourcegroups", parent=rid.parent.key)

    world.db.write_now(other_group)
    actor, target = world.principal("actor", role, AT_GROUP), world.principal("target")
    own = "/providers/Microsoft.Authorization"

    async def answers(group: str) -> tuple[int, ...]:
        assignment = {"properties": {"roleDefinitionId": f"{own}/roleDefinitions/{READER}", "principalId": target.id}}
        definition = {"properties": {"roleName": f"r{uuid.uuid4()}", "permissions": [{"actions": ["a/b"]}], "assignableScopes": [group]}}
        calls = [
            world.arm("GET", f"{group}{own}/roleAssignments", actor), world.arm("PUT", f"{group}{own}/roleAssignments/{uuid.uuid4()}", actor, assignment),
            world.arm("PUT", f"{group}{own}/roleDefinitions/{uuid.uuid4()}", actor, definition), world.arm("GET", f"{group}{own}/permissions", actor), world.arm("GET", group, actor),
        ]
        return tuple([(await call).status_code for call in calls])

    assert await answers(AT_GROUP) == MATRIX[role]
    assert await answers(f"{AT_SUB}/resourceGroups/other") == MATRIX[""]
    assert (await world.arm("GET", f"{AT_SUB}/resourceGroups/other{own}/permissions", actor)).json() == {"value": []}


async def test_s5_who_calls_is_not_said_by_other_headers(world: World):
    stranger = world.principal("stranger")
    spoofed = {**world.headers(stranger), "X-Forwarded-User": world.owner.id, "x-ms-client-principal-id": world.owner.id, "X-Original-URL": "/tenants", "X-HTTP-Method-Override": "GET"}
    answer = await world.client.get(f"{AT_WS}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01", headers=spoofed)
    assert answer.status_code == 403


async def test_s16_no_secret_lies_in_the_database_or_the_log(world: World, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    secret = world.secrets[world.owner.id]
    flow = await start(world)
    await approve(world, flow)
    signed_in = (await poll(world, flow)).json()
    wrong = "lzs_a-secret-that-is-wrong"
    await world.form(f"/{TENANT}/oauth2/v2.0/token", grant_type="client_credentials", client_id=world.owner.app_id or "", client_secret=wrong, scope="a/.default")
    world.set_job("j1", "Running")
    tracking, identity = world.authority.for_job(world.owner.id, AT_WS, "j1")
    await world.client.get("/msi/token?api-version=2019-08-01&resource=a", headers={"X-IDENTITY-HEADER": identity})
    world.db.write_now(world.vault.put_json, "datastore:x", {"key": "opensesame"}, world.now())
    dump = "".join(str(world.db.read_now(lambda tx, t=t: tx.execute(sa.select(t)).all())) for t in metadata.sorted_tables)
    for kept in (secret, wrong, flow["device_code"], flow["user_code"], signed_in["refresh_token"], signed_in["access_token"], tracking, identity, "opensesame", "PRIVATE KEY"):
        assert kept not in dump and kept not in caplog.text, kept[:12]


async def test_s14_a_job_does_not_become_more_by_asking_for_another_token(world: World):
    """The token endpoint takes no token; the managed identity endpoint gives back what it was given, never less bound."""
    world.set_job("j1", "Running")
    tracking, identity = world.authority.for_job(world.owner.id, AT_WS, "j1")
    for grant in ("urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange", "password"):
        answer = await world.form(f"/{TENANT}/oauth2/v2.0/token", grant_type=grant, assertion=tracking, client_id=world.owner.app_id or "", client_secret=identity, scope="https://management.azure.com/.default")
        assert answer.json()["error"] == "unsupported_grant_type"
    answer = await world.form(f"/{TENANT}/oauth2/v2.0/token", grant_type="client_credentials", client_id=world.owner.app_id or "", client_secret=identity, scope="https://management.azure.com/.default")
    assert answer.json()["error"] == "invalid_client"
