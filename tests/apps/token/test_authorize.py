from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from lazward.apps.token.authorize import is_loopback_redirect
from tests.apps.identity_app import TENANT, World, world_in
from tests.apps.token.test_oauth import V2, claims_of, error_of
from tests.conftest import Clock

PATH = f"/{TENANT}/oauth2/v2.0/authorize"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
BACK = "http://localhost:51234"
QUERY = {
    "client_id": "cli", "response_type": "code", "redirect_uri": BACK, "scope": "https://management.azure.com/.default openid", "state": "s<>&\"", "nonce": "n",
    "code_challenge": CHALLENGE, "code_challenge_method": "S256",
}


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    async with world_in(tmp_path, clock, clock) as world:
        yield world


async def ask(world: World, **more: str):
    return await world.client.get(PATH, params={k: v for k, v in (QUERY | more).items() if v != "-"})


def sealed(page) -> str:
    found = re.search(r'name="request" value="([^"]+)"', page.text)
    assert found, page.text
    return html.unescape(found.group(1))


async def sign_in(world: World, page, **more: str):
    return await world.form(PATH, **{"request": sealed(page), "client_id": world.owner.id, "client_secret": world.secrets[world.owner.id], **more})


def redeem(world: World, code: str, **more: str):
    return world.form(V2, **{"grant_type": "authorization_code", "client_id": "cli", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER, **more})


async def code_of(world: World) -> str:
    answer = await sign_in(world, await ask(world))
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


async def test_code_and_state_go_back_and_become_tokens_once(world: World):
    answer = await sign_in(world, await ask(world))
    assert answer.status_code == 303
    to = urlsplit(answer.headers["location"])
    assert f"{to.scheme}://{to.netloc}" == BACK and parse_qs(to.query)["state"] == [QUERY["state"]]
    code = parse_qs(to.query)["code"][0]
    body = (await redeem(world, code)).json()
    assert claims_of(body["access_token"])["aud"] == "https://management.azure.com" and claims_of(body["id_token"])["nonce"] == "n" and body["refresh_token"]
    assert error_of(await redeem(world, code)) == (400, "invalid_grant", 70008)


async def test_form_post(world: World):
    page = await sign_in(world, await ask(world, response_mode="form_post"))
    assert page.status_code == 200 and f'action="{BACK}"' in page.text and html.escape(QUERY["state"]) in page.text
    policy = page.headers["content-security-policy"]
    [script] = re.findall(r"<script>(.*?)</script>", page.text)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy and f"form-action {BACK}" in policy


async def test_refused_by_the_person(world: World):
    answer = await world.form(PATH, request=sealed(await ask(world)), decision="no")
    assert parse_qs(urlsplit(answer.headers["location"]).query)["error"] == ["access_denied"]


async def test_a_wrong_secret_asks_again(world: World):
    page = await sign_in(world, await ask(world), client_secret="x")
    assert page.status_code == 401 and (await sign_in(world, page)).status_code == 303


@pytest.mark.parametrize("change", [{"code_verifier": "w" * 64}, {"code_verifier": ""}, {"client_id": "other"}, {"redirect_uri": "http://localhost:1"}])
async def test_s23_a_code_is_worth_nothing_to_others_and_is_used_up_by_the_try(world: World, change: dict[str, str]):
    code = await code_of(world)
    assert error_of(await redeem(world, code, **change))[1] == "invalid_grant"
    assert error_of(await redeem(world, code))[1] == "invalid_grant"


async def test_a_code_expires(world: World, clock: Clock):
    code = await code_of(world)
    clock.forward(301)
    assert error_of(await redeem(world, code))[1] == "invalid_grant"


@pytest.mark.parametrize("change", [
    {"redirect_uri": "https://evil.example"}, {"redirect_uri": "-"}, {"response_type": "token"}, {"response_type": "code id_token"}, {"response_mode": "fragment"}, {"code_challenge": "-"},
    {"code_challenge": "short"}, {"code_challenge_method": "plain"}, {"code_challenge_method": "-"}, {"client_id": "-"}, {"client_id": "<script>"}, {"state": "s" * 5000},
    {"scope": "https://a/.default https://b/.default"},
])
async def test_s23_a_faulty_request_is_told_to_the_person_and_sent_nowhere(world: World, change: dict[str, str]):
    answer = await ask(world, **change)
    assert answer.status_code == 400 and "location" not in answer.headers and "<form" not in answer.text


async def test_s23_the_request_cannot_be_changed_on_its_way(world: World):
    page = await ask(world)
    text = sealed(page)
    for forged in ("", text[:-4] + "AAAA", text.swapcase()):
        answer = await world.form(PATH, request=forged, client_id=world.owner.id, client_secret=world.secrets[world.owner.id])
        assert answer.status_code == 400 and "location" not in answer.headers


@pytest.mark.parametrize("url", ["http://localhost", "http://localhost:8400", "http://127.0.0.1:1/", "http://[::1]:65535/callback/x"])
def test_s23_loopback(url: str):
    assert is_loopback_redirect(url)


@pytest.mark.parametrize("url", [
    "https://localhost:1", "http://localhost.evil.example", "http://localhost@evil.example", "http://evil.example#localhost", "http://localhost:99999", "http://localhost:1\\@evil.example",
    "//localhost", "javascript:alert(1)", "http://localhost:1/?a=b", "http://localhost:1/#x", "http://127.0.0.1.evil.example/", "http://0.0.0.0:1", "http://localhost:1/\r\nX: y", "http://LOCALHOST%2eevil",
    "http://127.0.0.2", "http://localhost:0", "", "http://localhost:1/" + "a" * 600,
])
def test_s23_nothing_but_loopback(url: str):
    assert not is_loopback_redirect(url)
