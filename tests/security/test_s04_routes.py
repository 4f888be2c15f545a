"""S4 over the whole control plane, as it is built for production: every route and verb refuses who does not prove to be somebody."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest

from lazward.apps.chain import Chain
from lazward.apps.control import build_chain
from lazward.contract.caller import Caller
from lazward.domain.settings import Source, merge
from lazward.identity import tokens
from lazward.storage import schema
from lazward.storage.db import Database

# Who adds a route that asks nobody who they are adds it here too, and has thought about it.
PUBLIC = {
    "/", "/healthz", "/metadata/endpoints", "/common/discovery/instance", "/device", "/msi/token", "/discovery", "/discovery/{rest:path}", "/runs/{name}", "/openapi.json",
    *(f"/TENANT{rest}" for version in ("/v2.0", "") for rest in (
        f"{version}/.well-known/openid-configuration", f"/discovery{version}/keys", f"/oauth2{version}/token", f"/oauth2{version}/devicecode", f"/oauth2{version}/authorize",
    )),
}
SUB = "11111111-1111-4111-8111-111111111111"
VALUES = {
    "sub": SUB, "scope": f"{SUB}/resourceGroups/g", "kind": "roleAssignments", "version": "2.0", "api": "api/2.0", "account": "lz0123abcdef.blob.core.windows.net",
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("all-routes").resolve()
    settings = merge([Source("test", {"data_dir": str(folder)})]).settings
    for part in settings.layout.folders:
        part.mkdir(parents=True, exist_ok=True)
    db = Database(settings.database_url)
    schema.upgrade(db)
    yield build_chain(settings, db)
    db.close()


def plain(pattern: str) -> str:
    return re.sub(r"^/\{tenant:.*?\+\}", "/TENANT", pattern)


def concrete(pattern: str) -> str:
    """A path that the pattern matches."""

    def value(match: re.Match[str]) -> str:
        name, kind = match.group(1), match.group(2) or ""
        if name == "rest":
            return VALUES_OF_REST.get(kind, "x/y")
        if name == "account":
            return "lz0123abcdef.dfs.core.windows.net" if "dfs" in kind else VALUES["account"]
        choice = re.match(r"(?:\(\?:)?([A-Za-z]+)\|", kind)
        return VALUES.get(name) or (choice.group(1) if choice else "x1")

    path = re.sub(r"\{(\w+)(?::((?:[^{}]|\{[^{}]*\})+))?\}", value, pattern)
    return path.replace("{kind}", "x")


VALUES_OF_REST = {"/subscriptions/.*": f"/subscriptions/{SUB}/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w", "(?:/.*)?": "/x"}
OVERRIDES = {
    "/subscriptions/{rest:path}": f"/subscriptions/{SUB}/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/jobs/j",
}
_KINDS = {"OperationsStatus": "mfeOperationsStatus", "OperationResults": "mfeOperationResults"}


def path_of(pattern: str) -> str:
    if pattern in OVERRIDES:
        return OVERRIDES[pattern]
    for suffix, kind in _KINDS.items():
        pattern = re.sub(r"\{kind:\(\?:[^{}]*\)" + suffix + r"\}", kind, pattern)
    return concrete(re.sub(r"\{kind:experiments[^{}]*\}", "experiments", pattern))


def test_what_is_public_is_on_the_list(chain: Chain):
    assert {plain(route.pattern) for route in chain.routes if route.access.kind == "public"} == PUBLIC


def test_every_pattern_is_really_tried(chain: Chain):
    for route in chain.routes:
        if route.access.kind != "public":
            assert route.regex.match(path_of(route.pattern)), (route.pattern, path_of(route.pattern))


async def test_s4_every_route_and_verb_refuses_strangers(chain: Chain):
    authority = chain.services.authority
    somebody = Caller(id="11111111-2222-4333-8444-555555555555", name="x", tenant=authority.tenant)  # type: ignore[attr-defined]
    foreign = tokens.issue(
        tokens.SigningKeys([tokens.new_key()]), somebody, audience="https://localhost:8443", issuer=authority.issuer, now=chain.services.now(), lifetime=600,  # type: ignore[attr-defined]
    )
    ours_of_nobody = authority.token_for(somebody, "https://localhost:8443")  # type: ignore[attr-defined]
    attempts: list[dict[str, str]] = [{}, *({"Authorization": f"Bearer {token}"} for token in (foreign, ours_of_nobody, "x")), {"Authorization": "Basic eDp5"}]
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(chain), base_url="https://localhost:8443") as client:
        for route in chain.routes:
            if route.access.kind == "public":
                continue
            for method in route.methods:
                for headers in attempts:
                    answer = await client.request(method, f"{path_of(route.pattern)}?api-version=2025-12-01", headers=headers)
                    # Storage words it its own way: no authentication is 401 or 403, and what nobody may know of is 404.
                    refused = (401, 403, 404) if route.surface.name in ("blob", "dfs") else (401,)
                    assert answer.status_code in refused, (method, route.pattern, headers, answer.status_code, answer.text[:300])


async def test_s4_a_websocket_is_closed(chain: Chain):
    sent: list[dict] = []

    async def send(message) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {"type": "websocket.connect"}

    await chain({"type": "websocket", "path": "/subscriptions/x", "headers": []}, receive, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]
