from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote_plus, urlencode

import pytest
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import KeySet

from lazward.apps.token.oauth import DEVICE_GRANT
from lazward.domain.rbac_roles import OWNER
from lazward.identity.tokens import hash_secret
from lazward.storage import access
from lazward.storage.tables import grant_code
from tests.apps.identity_app import MASTER_KEY, TENANT, World, world_in
from tests.conftest import Clock

V2, V1, ADFS = f"/{TENANT}/oauth2/v2.0/token", f"/{TENANT}/oauth2/token", "/adfs/oauth2/token"
ARM = "https://localhost:8443"


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    async with world_in(tmp_path, clock, clock) as world:
        yield world


def credentials(world: World, **more: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": world.owner.app_id or "", "client_secret": world.secrets[world.owner.id], **more}


def claims_of(token: str) -> dict:
    piece = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)))


def error_of(answer) -> tuple[int, str, int]:
    body = answer.json()
    assert body["error_description"].startswith(f"AADSTS{body['error_codes'][0]}: ") and body["correlation_id"] and body["trace_id"]
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, body["error"], body["error_codes"][0]


class TestDocuments:
    @pytest.mark.parametrize(("path", "tenant", "version", "issuer"), [
        (f"/{TENANT}/v2.0/.well-known/openid-configuration", TENANT, "/v2.0", f"/{TENANT}/v2.0"), (f"/{TENANT}/.well-known/openid-configuration", TENANT, "/v2.0", f"/{TENANT}/v2.0"),
        ("/common/v2.0/.well-known/openid-configuration", "common", "/v2.0", f"/{TENANT}/v2.0"), ("/adfs/.well-known/openid-configuration", "adfs", "", "/adfs"),
    ])
    @pytest.mark.parametrize("host", ["localhost:8443", "127.0.0.1:8443"])
    async def test_configuration_is_consistent_for_both_spellings_of_us(self, world: World, path: str, tenant: str, version: str, issuer: str, host: str):
        found = (await world.client.get(path, headers={"Host": host})).json()
        base = f"https://{host}"
        assert found["issuer"] == base + issuer and found["token_endpoint"] == f"{base}/{tenant}/oauth2{version}/token"
        assert found["jwks_uri"].startswith(base) and found["device_authorization_endpoint"].startswith(base)
        # Tokens got there name the same issuer, and verify with the keys found there.
        answer = await world.client.post(found["token_endpoint"].removeprefix(base), data=credentials(world, scope=f"{ARM}/.default"), headers={"Host": host})
        token = answer.json()["access_token"]
        keys = KeySet.import_key_set((await world.client.get(found["jwks_uri"].removeprefix(base))).json())
        assert jwt.decode(token, keys, algorithms=["RS256"]).claims["iss"] == found["issuer"]
        assert (await world.client.get("/tenants?api-version=2022-12-01", headers={"Authorization": f"Bearer {token}"})).status_code == 200

    async def test_instance_discovery(self, world: World):
        found = (await world.client.get("/common/discovery/instance?api-version=1.1&authorization_endpoint=x")).json()
        assert found["tenant_discovery_endpoint"] == f"{ARM}/{TENANT}/v2.0/.well-known/openid-configuration" and "127.0.0.1:8443" in found["metadata"][0]["aliases"]

    @pytest.mark.parametrize("tenant", ["00000000-0000-0000-0000-000000000000", "contoso.onmicrosoft.com", "nonsense"])
    @pytest.mark.parametrize("path", ["/v2.0/.well-known/openid-configuration", "/discovery/v2.0/keys"])
    async def test_another_tenant(self, world: World, tenant: str, path: str):
        assert error_of(await world.client.get(f"/{tenant}{path}")) == (400, "invalid_request", 90002)
        assert error_of(await world.form(f"/{tenant}/oauth2/v2.0/token", **credentials(world, scope=f"{ARM}/.default"))) == (400, "invalid_request", 90002)


class TestClientCredentials:
    async def test_v2(self, world: World):
        answer = await world.form(V2, **credentials(world, scope=f"{ARM}/.default", client_info="1"))
        body = answer.json()
        assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store" and (body["token_type"], body["expires_in"]) == ("Bearer", 3600)
        assert set(body) == {"token_type", "expires_in", "ext_expires_in", "access_token"}
        claims = claims_of(body["access_token"])
        assert {k: claims[k] for k in ("aud", "tid", "oid", "appid", "idtyp", "iss")} == {
            "aud": ARM, "tid": TENANT, "oid": world.owner.id, "appid": world.owner.app_id, "idtyp": "app", "iss": f"{ARM}/{TENANT}/v2.0",
        }
        assert claims["exp"] - claims["iat"] == 3600

    @pytest.mark.parametrize("path", [V1, ADFS])
    async def test_v1_answers_numbers_as_texts(self, world: World, path: str):
        body = (await world.form(path, **credentials(world, resource="https://management.core.windows.net/"))).json()
        assert (body["expires_in"], body["resource"], int(body["expires_on"])) == ("3600", "https://management.core.windows.net/", int(world.now()) + 3600)

    async def test_basic(self, world: World):
        text = f"{quote_plus(world.owner.app_id or '')}:{quote_plus(world.secrets[world.owner.id])}"
        header = {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}
        form = {"grant_type": "client_credentials", "scope": f"{ARM}/.default"}
        assert (await world.client.post(V2, data=form, headers=header)).status_code == 200
        twice = form | {"client_secret": "x"}
        assert error_of(await world.client.post(V2, data=twice, headers=header))[1] == "invalid_request"
        assert error_of(await world.client.post(V2, data=form, headers={"Authorization": "Basic !!"}))[:2] == (401, "invalid_client")

    async def test_s6_wrong_secret_and_unknown_client_read_alike(self, world: World):
        wrong = await world.form(V2, **credentials(world, client_secret="x", scope=f"{ARM}/.default"))
        unknown = await world.form(V2, **credentials(world, client_id="11111111-0000-4000-8000-000000000000", scope=f"{ARM}/.default"))
        assert error_of(wrong) == error_of(unknown) == (401, "invalid_client", 7000215)
        assert wrong.json()["error_description"].replace(world.owner.app_id or "", "") == unknown.json()["error_description"].replace("11111111-0000-4000-8000-000000000000", "")

    async def test_s6_guessing_gets_slower_and_ends_with_the_pause(self, world: World, clock: Clock):
        for _ in range(5):
            await world.form(V2, **credentials(world, client_secret="x", scope=f"{ARM}/.default"))
        answer = await world.form(V2, **credentials(world, scope=f"{ARM}/.default"))
        assert error_of(answer) == (429, "temporarily_unavailable", 50053) and int(answer.headers["retry-after"]) >= 1
        clock.forward(float(answer.headers["retry-after"]))
        assert (await world.form(V2, **credentials(world, scope=f"{ARM}/.default"))).status_code == 200

    async def test_a_principal_without_secret_or_disabled(self, world: World):
        def make(tx):
            return access.create_principal(tx, "none", "ServicePrincipal", None, world.now())

        none = world.db.write_now(make)
        assert error_of(await world.form(V2, **credentials(world, client_id=none.app_id or "", client_secret="x", scope="a/.default")))[1] == "invalid_client"
        off = world.principal("off")
        world.db.write_now(access.set_enabled, off.id, False, world.now())
        form = {"client_id": off.app_id or "", "client_secret": world.secrets[off.id], "scope": "a/.default"}
        assert error_of(await world.form(V2, grant_type="client_credentials", **form))[1] == "invalid_client"

    @pytest.mark.parametrize(("change", "error"), [
        ({"scope": ""}, (400, "invalid_request", 900144)), ({"scope": "a/.default b/.default"}, (400, "invalid_scope", 28000)), ({"client_id": ""}, (400, "invalid_request", 900144)),
        ({"client_secret": ""}, (401, "invalid_client", 7000218)), ({"client_assertion": "x.y.z"}, (401, "invalid_client", 700027)), ({"grant_type": "password"}, (400, "unsupported_grant_type", 70003)),
        ({"grant_type": ""}, (400, "invalid_request", 900144)),
    ])
    async def test_what_is_wrong_is_said(self, world: World, change: dict[str, str], error: tuple[int, str, int]):
        assert error_of(await world.form(V2, **(credentials(world, scope=f"{ARM}/.default") | change))) == error

    @pytest.mark.parametrize("body", [b"\xff", b"a=%ff", b"{}", b"&".join(b"a%d=1" % i for i in range(100)), b"grant_type=a&grant_type=b", b""])
    async def test_bodies_that_are_no_form(self, world: World, body: bytes):
        answer = await world.client.post(V2, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert error_of(answer)[0] == 400
        assert error_of(await world.client.post(V2, content=body, headers={"Content-Type": "application/json"}))[0] == 400

    async def test_a_form_without_a_type_is_one(self, world: World):
        body = urlencode({"grant_type": "client_credentials", **credentials(world, scope=f"{ARM}/.default")}).encode()
        answer = await world.client.post(V2, content=body)
        assert "content-type" not in answer.request.headers and answer.status_code == 200 and answer.json()["token_type"] == "Bearer"

    async def test_a_huge_body_and_a_wrong_method(self, world: World):
        assert error_of(await world.client.post(V2, content=b"a" * 70_000, headers={"Content-Type": "application/x-www-form-urlencoded"}))[0] == 413
        assert (await world.client.get(V2)).status_code == 405


async def start(world: World, client_id: str = "cli") -> dict:
    answer = await world.form(f"/{TENANT}/oauth2/v2.0/devicecode", client_id=client_id, scope=f"{ARM}/.default offline_access openid")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def poll(world: World, flow: dict, **more: str):
    return await world.form(V2, **{"grant_type": DEVICE_GRANT, "client_id": "cli", "device_code": flow["device_code"], "scope": f"{ARM}/.default", **more})


async def approve(world: World, flow: dict, decision: str = "yes") -> str:
    first = await world.form("/device", user_code=flow["user_code"], client_id=world.owner.app_id or "", client_secret=world.secrets[world.owner.id])
    ticket = first.text.partition('name="ticket" value="')[2].partition('"')[0]
    second = await world.form("/device", ticket=ticket, decision=decision)
    assert (first.status_code, second.status_code) == (200, 200), second.text
    return second.text


class TestDeviceCode:
    async def test_pending_then_signed_in_once(self, world: World, clock: Clock):
        flow = await start(world)
        assert flow["verification_uri"] == f"{ARM}/device" and flow["user_code"] in flow["message"] and (flow["interval"], flow["expires_in"]) == (5, 900)
        assert error_of(await poll(world, flow)) == (400, "authorization_pending", 70016)
        assert error_of(await poll(world, flow)) == (400, "slow_down", 70019)
        clock.forward(5)
        await approve(world, flow)
        body = (await poll(world, flow)).json()
        claims, identity = claims_of(body["access_token"]), claims_of(body["id_token"])
        assert claims["oid"] == identity["oid"] == world.owner.id and claims["appid"] == identity["aud"] == "cli" and identity["preferred_username"] == "owner"
        info = json.loads(base64.urlsafe_b64decode(body["client_info"] + "=="))
        assert info == {"uid": world.owner.id, "utid": TENANT} and body["refresh_token"]
        clock.forward(5)
        assert error_of(await poll(world, flow)) == (400, "invalid_grant", 70018)

    async def test_declined(self, world: World):
        flow = await start(world)
        assert "Refused" in await approve(world, flow, "no")
        assert error_of(await poll(world, flow)) == (400, "authorization_declined", 65004)

    async def test_expired(self, world: World, clock: Clock):
        flow = await start(world)
        clock.forward(901)
        assert error_of(await poll(world, flow)) == (400, "expired_token", 70020)

    async def test_is_of_the_client_that_started_it(self, world: World):
        flow = await start(world)
        await approve(world, flow)
        assert error_of(await poll(world, flow, client_id="other"))[1] == "invalid_grant"
        assert (await poll(world, flow)).status_code == 200

    async def test_by_somebody_disabled_meanwhile(self, world: World):
        someone = world.principal("someone")
        flow = await start(world)
        first = await world.form("/device", user_code=flow["user_code"].lower(), client_id=someone.id, client_secret=world.secrets[someone.id])
        await world.form("/device", ticket=first.text.partition('name="ticket" value="')[2].partition('"')[0], decision="yes")
        world.db.write_now(lambda tx: tx.execute(sa.text("update principal set enabled = false where name = 'someone'")))
        assert error_of(await poll(world, flow)) == (400, "invalid_grant", 50057)

    async def test_a_client_without_name(self, world: World):
        assert error_of(await world.form(f"/{TENANT}/oauth2/v2.0/devicecode", scope="a/.default"))[1] == "invalid_request"


class TestRefresh:
    async def refresh(self, world: World, token: str, **more: str):
        return await world.form(V2, **{"grant_type": "refresh_token", "client_id": "cli", "refresh_token": token, "scope": "https://storage.azure.com/.default", **more})

    async def signed_in(self, world: World) -> str:
        flow = await start(world)
        await approve(world, flow)
        return (await poll(world, flow)).json()["refresh_token"]

    async def test_gives_tokens_for_other_services_and_the_next_one(self, world: World):
        first = await self.signed_in(world)
        body = (await self.refresh(world, first)).json()
        assert claims_of(body["access_token"])["aud"] == "https://storage.azure.com" and body["refresh_token"] != first
        assert (await self.refresh(world, body["refresh_token"])).status_code == 200

    async def test_a_stolen_one_ends_the_sign_in(self, world: World, clock: Clock):
        first = await self.signed_in(world)
        second = (await self.refresh(world, first)).json()["refresh_token"]
        clock.forward(120)
        assert error_of(await self.refresh(world, first)) == (400, "invalid_grant", 700082)
        assert error_of(await self.refresh(world, second)) == (400, "invalid_grant", 700082)

    async def test_is_of_its_client(self, world: World):
        assert error_of(await self.refresh(world, await self.signed_in(world), client_id="other"))[1] == "invalid_grant"

    async def test_ends_when_the_principal_is_disabled_or_gets_a_new_secret(self, world: World):
        world.principal("second owner", OWNER, "/")
        for change in (lambda tx: access.set_secret(tx, world.owner.id, "x", world.now()), lambda tx: access.set_enabled(tx, world.owner.id, False, world.now())):
            secret = world.secrets[world.owner.id]
            token = await self.signed_in(world)
            world.db.write_now(change)
            assert error_of(await self.refresh(world, token))[1] == "invalid_grant"
            world.db.write_now(access.set_secret, world.owner.id, hash_secret(MASTER_KEY, secret), world.now())


async def test_s16_codes_and_tokens_are_stored_hashed(world: World):
    flow = await start(world)
    await approve(world, flow)
    refresh = (await poll(world, flow)).json()["refresh_token"]
    other = await start(world)
    rows = str(world.db.read_now(lambda tx: tx.execute(sa.select(grant_code)).all()))
    for secret in (flow["device_code"], flow["user_code"], refresh, other["device_code"], other["user_code"]):
        assert secret not in rows
