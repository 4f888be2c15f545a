from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.apps.identity_app import TENANT, World, world_in
from tests.conftest import Clock


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    async with world_in(tmp_path, clock, clock) as world:
        yield world


async def start(world: World, client_id: str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46") -> dict:
    return (await world.form(f"/{TENANT}/oauth2/v2.0/devicecode", client_id=client_id, scope="https://management.azure.com/.default")).json()


def proof(world: World, flow: dict, **more: str) -> dict[str, str]:
    return {"user_code": flow["user_code"], "client_id": world.owner.app_id or "", "client_secret": world.secrets[world.owner.id], **more}


def ticket_of(text: str) -> str:
    found = re.search(r'name="ticket" value="([^"]+)"', text)
    assert found, text
    return found.group(1)


async def test_says_who_asks_for_what_before_anybody_is_let_in(world: World):
    flow = await start(world)
    page = await world.form("/device", **proof(world, flow))
    for fact in ("Azure CLI or azure-identity", "127.0.0.1", "https://management.azure.com", "owner"):
        assert fact in page.text
    assert world.secrets[world.owner.id] not in page.text


@pytest.mark.parametrize("spelled", [str.lower, lambda code: f" {code[:3]}-{code[3:6]} {code[6:]} "])
async def test_the_code_as_people_type_it(world: World, spelled):
    flow = await start(world)
    ticket_of((await world.form("/device", **proof(world, flow, user_code=spelled(flow["user_code"])))).text)


async def test_wrong_secret_wrong_code_and_used_code(world: World):
    flow = await start(world)
    assert (await world.form("/device", **proof(world, flow, client_secret="x"))).status_code == 401
    assert (await world.form("/device", **proof(world, flow, user_code="BCDFGHJKL"))).status_code == 400
    ticket = ticket_of((await world.form("/device", **proof(world, flow))).text)
    assert (await world.form("/device", ticket=ticket, decision="yes")).status_code == 200
    assert (await world.form("/device", ticket=ticket, decision="yes")).status_code == 400
    assert (await world.form("/device", **proof(world, flow))).status_code == 400


async def test_s6_codes_are_told_to_nobody_without_a_secret_and_secrets_cannot_be_guessed_here(world: World):
    flow = await start(world)
    known = await world.form("/device", **proof(world, flow, client_secret="x"))
    unknown = await world.form("/device", **proof(world, flow, client_secret="x", user_code="BCDFGHJKL"))
    assert known.text == unknown.text
    for _ in range(4):
        await world.form("/device", **proof(world, flow, client_secret="x"))
    assert (await world.form("/device", **proof(world, flow))).status_code == 429


async def test_the_second_step_cannot_be_made_up_nor_kept(world: World, clock: Clock):
    flow, other = await start(world), await start(world)
    ticket = ticket_of((await world.form("/device", **proof(world, flow))).text)
    for forged in ("", "x", ticket[:-4] + "AAAA", ticket[::-1]):
        assert (await world.form("/device", ticket=forged, decision="yes")).status_code == 400
    clock.forward(301)
    assert (await world.form("/device", ticket=ticket, decision="yes")).status_code == 400
    # It was for its own code only.
    assert (await world.form("/device", **proof(world, other))).status_code == 200


async def test_anything_but_yes_is_no(world: World):
    flow = await start(world)
    ticket = ticket_of((await world.form("/device", **proof(world, flow))).text)
    assert "Refused" in (await world.form("/device", ticket=ticket)).text


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
async def test_s7_a_form_of_another_page_is_refused(world: World, headers: dict[str, str]):
    flow = await start(world)
    answer = await world.client.post("/device", data=proof(world, flow), headers=headers)
    assert answer.status_code == 403


async def test_s7_our_own_page_makes_browsers_name_it(world: World):
    """With the referrer policy "no-referrer" they would send "Origin: null", and our own form would be refused."""
    page = await world.client.get("/device")
    assert page.headers["referrer-policy"] == "same-origin"
    flow = await start(world)
    same = {"Origin": "https://localhost:8443", "Sec-Fetch-Site": "same-origin"}
    assert (await world.client.post("/device", data=proof(world, flow), headers=same)).status_code == 200


async def test_s11_nothing_from_outside_is_markup_and_no_script_runs(world: World):
    for given in ('"><script>alert(1)</script>', "'><img src=x onerror=alert(1)>"):
        page = await world.client.get("/device", params={"user_code": given})
        assert "<script>" not in page.text and "<img" not in page.text
    evil = world.principal("<script>alert(1)</script>")
    flow = await start(world)
    page = await world.form("/device", user_code=flow["user_code"], client_id=evil.app_id or "", client_secret=world.secrets[evil.id])
    assert "<script>" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'none'" in policy and "frame-ancestors 'none'" in policy and "form-action 'self'" in policy
    assert "unsafe" not in policy and page.headers["x-frame-options"] == "DENY" and page.headers["cache-control"] == "no-store"
