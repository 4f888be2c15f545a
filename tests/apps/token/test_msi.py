from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.apps.identity_app import AT_GROUP, AT_WS, World, world_in
from tests.apps.token.test_oauth import claims_of
from tests.conftest import Clock

STORAGE = "https://storage.azure.com/"


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    async with world_in(tmp_path, clock, clock) as world:
        yield world


async def get(world: World, secret: str | None, header: str = "X-IDENTITY-HEADER", **query: str):
    params = {"api-version": "2019-08-01", "resource": STORAGE} | query
    return await world.client.get("/msi/token", params=params, headers={header: secret} if secret is not None else {})


async def test_of_a_principal(world: World):
    answer = await get(world, world.secrets[world.owner.id])
    body = answer.json()
    assert answer.headers["cache-control"] == "no-store" and (body["token_type"], body["resource"], body["client_id"]) == ("Bearer", STORAGE, world.owner.app_id)
    assert int(body["expires_on"]) == claims_of(body["access_token"])["exp"] == int(world.now()) + 3600
    assert claims_of(body["access_token"])["aud"] == STORAGE


async def test_the_older_form(world: World):
    query = {"api-version": "2017-09-01"}
    assert (await get(world, world.secrets[world.owner.id], "secret", **query, clientid=world.owner.app_id or "")).status_code == 200
    assert (await get(world, world.secrets[world.owner.id], "X-IDENTITY-HEADER", **query)).status_code == 401


async def test_of_a_job_while_it_runs_and_within_its_workspace(world: World, clock: Clock):
    world.set_job("j1", "Running")
    _, secret = world.authority.for_job(world.owner.id, AT_WS, "j1")
    token = (await get(world, secret, resource="https://localhost:8443")).json()["access_token"]
    claims = claims_of(token)
    assert (claims["lz_run"], claims["lz_bound"], claims["oid"]) == ("j1", AT_WS.lower(), world.owner.id)
    ask = {"Authorization": f"Bearer {token}"}
    own = "/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01"
    assert (await world.client.get(AT_WS + own, headers=ask)).status_code == 200
    assert (await world.client.get(AT_GROUP + own, headers=ask)).status_code == 403
    world.set_job("j1", "Failed")
    clock.forward(1)
    assert (await get(world, secret)).status_code == 401
    assert (await world.client.get(AT_WS + own, headers=ask)).status_code == 401


@pytest.mark.parametrize("secret", [None, "", "x", "lzs_wrong", "lzjob.00.00"])
async def test_s4_without_a_secret_there_is_nothing(world: World, secret: str | None):
    answer = await get(world, secret)
    body = answer.json()
    assert answer.status_code == 401 and body["statusCode"] == 401 and body["message"] and "access_token" not in answer.text


@pytest.mark.parametrize("query", [
    {"api-version": ""}, {"api-version": "2018-02-01"}, {"resource": ""}, {"resource": "a b"}, {"resource": "urn:lazward:online-endpoint"}, {"client_id": "someone-else"},
    {"object_id": "someone-else"}, {"mi_res_id": "/subscriptions/x"},
])
async def test_what_cannot_be(world: World, query: dict[str, str]):
    answer = await get(world, world.secrets[world.owner.id], **query)
    assert (answer.status_code, answer.json()["statusCode"]) == (400, 400)


async def test_an_error_names_no_secret(world: World):
    secret = "lzs_this-one-is-wrong"
    assert secret not in (await get(world, secret)).text
