"""S23 over every public route: nothing leads a browser elsewhere, and a code goes to this machine only, with PKCE and state. The flow in
detail: tests/apps/token/test_authorize.py and test_device.py."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from tests.control_plane import Answer
from tests.security.site import Site, guid

ELSEWHERE = ("https://evil.example/", "//evil.example", "/\\evil.example", "https:evil.example", "javascript:alert(1)", "http://localhost@evil.example", "http://127.0.0.1.evil.example", "data:text/html,x", "/\t/evil.example")
NAMES = ("next", "redirect", "redirect_uri", "redirect_url", "return_to", "returnUrl", "url", "continue", "post_logout_redirect_uri", "RelayState", "state", "target")
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
FORM = {"content-type": "application/x-www-form-urlencoded"}


def pages(site: Site) -> list[str]:
    """Every public GET there is, by the routes."""
    tenant = site.authority.tenant
    found = []
    for route in site.plane.chain.routes:
        if route.access.kind == "public" and "GET" in route.methods:
            path = re.sub(r"\{tenant:.*?\+\}", tenant, route.pattern)
            found.append(re.sub(r"\{\w+(:\w+)?\}", "x", path))
    assert len(found) > 10
    return found


@pytest.mark.parametrize("to", ELSEWHERE)
def test_s23_no_public_page_sends_anybody_elsewhere(site: Site, to: str):
    for path in pages(site):
        for name in NAMES:
            answer = site.plane.send("GET", f"{path}?{name}={quote(to, safe='')}", token="")
            assert answer.status < 300 or answer.status >= 400, (path, name)
            assert "location" not in answer.headers and "refresh" not in answer.headers
            assert b'href="' + html.escape(to).encode() not in answer.body and b'action="' + html.escape(to).encode() not in answer.body
    for path in (f"/{to}", f"//{to}", f"/%2f{quote(to, safe='')}", "/" + quote(to, safe="")):
        answer = site.plane.send("GET", path, token="")
        assert "location" not in answer.headers and answer.status >= 400


def asked(site: Site, **more: str) -> Answer:
    query = {"client_id": "cli", "response_type": "code", "redirect_uri": "http://localhost:51234/back", "scope": "https://management.azure.com/.default", "state": "s1", "code_challenge": CHALLENGE, "code_challenge_method": "S256", **more}
    return site.plane.send("GET", f"/{site.authority.tenant}/oauth2/v2.0/authorize?{urlencode({k: v for k, v in query.items() if v})}", token="")


def signed_in(site: Site, page: Answer, secret: str = "") -> Answer:
    sealed = html.unescape(re.findall(r'name="request" value="([^"]+)"', page.body.decode())[0])
    body = urlencode({"request": sealed, "client_id": site.people["Reader"].app_id or "", "client_secret": secret or site.secrets["Reader"]})
    return site.plane.send("POST", f"/{site.authority.tenant}/oauth2/v2.0/authorize", body.encode(), token="", headers=FORM)


@pytest.mark.parametrize("to", ELSEWHERE)
def test_s23_a_code_goes_to_no_other_machine(site: Site, to: str):
    for redirect in (to, f"http://localhost:1/?x={to}", f"http://localhost:1/#{to}", f"http://localhost:1@{to}", f"{to}#http://localhost:1"):
        answer = asked(site, redirect_uri=redirect)
        assert answer.status == 400 and "location" not in answer.headers and b"<form" not in answer.body, redirect


def test_s23_without_proof_key_there_is_no_sign_in(site: Site):
    for change in ({"code_challenge": ""}, {"code_challenge_method": ""}, {"code_challenge_method": "plain"}, {"code_challenge": "x"}, {"response_type": "token"}, {"response_type": "id_token"}):
        assert asked(site, **change).status == 400, change


def test_s23_code_and_state_come_back_together_and_the_code_works_once_for_its_verifier(site: Site):
    def code(state: str) -> str:
        answer = signed_in(site, asked(site, state=state))
        to = urlsplit(answer.headers["location"])
        assert (answer.status, f"{to.scheme}://{to.netloc}{to.path}", parse_qs(to.query)["state"]) == (303, "http://localhost:51234/back", [state])
        assert answer.headers["cache-control"] == "no-store" and answer.headers["referrer-policy"] == "no-referrer"
        return parse_qs(to.query)["code"][0]

    def redeem(given: str, verifier: str = VERIFIER) -> Answer:
        body = urlencode({"grant_type": "authorization_code", "client_id": "cli", "code": given, "redirect_uri": "http://localhost:51234/back", "code_verifier": verifier})
        return site.plane.send("POST", f"/{site.authority.tenant}/oauth2/v2.0/token", body.encode(), token="", headers=FORM)

    state = guid() + "<&\">"
    stolen = code(state)
    assert redeem(stolen, "w" * 64).json["error"] == "invalid_grant" and redeem(stolen).json["error"] == "invalid_grant"
    good = code(state)
    assert redeem(good).json["access_token"]
    assert redeem(good).json["error"] == "invalid_grant"


def test_s23_a_wrong_secret_goes_nowhere(site: Site):
    answer = signed_in(site, asked(site), "lzs_wrong")
    assert answer.status == 401 and "location" not in answer.headers
