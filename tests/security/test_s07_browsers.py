"""S7: what a browser can be made to send. The control plane answers its own names only and refuses pages of other origins, whatever the
verb; it has no cookies and no CORS, and neither has the gateway, which serves under its own names too.

The device page's own forms: tests/apps/token/test_device.py. The gateway: tests/apps/serving/test_gateway.py.
"""

from __future__ import annotations

import pytest

from tests.control_plane import versioned
from tests.security.door import Door
from tests.security.site import Site

VERBS = ("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE")
OUR_HOSTS = ("localhost", "localhost:8443", "127.0.0.1:8443", "[::1]:8443", "LocalHost:8443")
# What a name of the attacker's that leads to 127.0.0.1 looks like from here, and names that look like ours.
FOREIGN_HOSTS = ("evil.example", "evil.example:8443", "localhost.evil.example:8443", "evil.example.localhost:8443", "127.0.0.1.nip.io:8443", "2130706433:8443", "0.0.0.0:8443", "[::]:8443", "localhost.:8443")
# From another page; the last is what an img, script or style tag sends.
FOREIGN_PAGES = (
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:8443"}, {"Origin": "https://localhost:1"}, {"Origin": "https://localhost:8443.evil.example"},
    {"Origin": "https://evil.example/https://localhost:8443"}, {"Origin": "http://[::1"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}, {"Sec-Fetch-Site": "anything", "Sec-Fetch-Mode": "cors"},
)


def paths(site: Site) -> list[str]:
    """One of every surface, those that ask nobody who they are among them."""
    return [
        "/", "/healthz", "/openapi.json", "/metadata/endpoints?api-version=2019-05-01", "/discovery", f"/{site.authority.tenant}/v2.0/.well-known/openid-configuration", "/device",
        versioned("/subscriptions"), versioned(site.own), f"/mlflow/plain{site.own}/api/2.0/mlflow/experiments/search", f"/history/v1.0{site.own}/experiments",
        f"/{site.account(site.own)}.blob.core.windows.net/?comp=list", "/metrics", "/nowhere", "/msi/token?api-version=2019-08-01&resource=a",
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_s7_a_page_of_another_origin_is_refused_on_every_surface_and_verb(site: Site, verb: str):
    token = site.token("boss")
    for path in paths(site):
        for page in FOREIGN_PAGES:
            answer = site.plane.send(verb, path, b"" if verb in ("PUT", "POST", "PATCH") else None, token=token, headers=page)
            assert answer.status == 403, (verb, path, page, answer.status)
            assert "access-control-allow-origin" not in answer.headers


def test_s7_a_link_may_lead_here_but_changes_nothing(site: Site):
    follows = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert site.plane.send("GET", "/", token="", headers=follows).status == 200
    assert site.plane.send("GET", versioned(site.own), token="", headers=follows).status == 401  # a browser has no token to send along
    for verb in ("POST", "PUT", "DELETE", "PATCH"):
        assert site.plane.send(verb, versioned(site.own), b"{}", token=site.token("boss"), headers=follows).status == 403


@pytest.mark.parametrize("verb", ("GET", "POST", "DELETE"))
def test_s7_names_that_are_not_ours_get_no_answer(site: Site, verb: str):
    """DNS rebinding: the browser takes the answer for the attacker's own page's."""
    for path in paths(site):
        for host in FOREIGN_HOSTS:
            answer = site.plane.send(verb, path, token=site.token("boss"), headers={"host": host})
            assert (answer.status, answer.headers["x-ms-error-code"]) == (421, "InvalidHostHeader"), (path, host)
    for host in OUR_HOSTS:
        assert site.plane.send("GET", "/healthz", token="", headers={"host": host}).status == 200


def test_s7_there_are_no_cookies_and_no_cors(site: Site):
    token = site.token("boss")
    for path in paths(site):
        for verb in ("GET", "OPTIONS"):
            for page in ({}, {"Origin": "https://localhost:8443", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}):
                answer = site.plane.send(verb, path, token=token, headers=page)
                assert not [name for name in answer.headers if name.startswith("access-control-") or name == "set-cookie"], path
    for cookie in (f"token={token}", f"Authorization=Bearer {token}", f"access_token={token}; session={token}"):
        assert site.plane.send("GET", versioned(site.own), token="", headers={"cookie": cookie}).status == 401
    for query in (f"access_token={token}", f"token={token}", f"authorization=Bearer%20{token}"):  # nor in an address, which logs keep
        assert site.plane.send("GET", versioned(site.own) + "&" + query, token="").status == 401


def test_s7_no_answer_is_of_use_to_a_script_tag(site: Site):
    for path in paths(site):
        answer = site.plane.send("GET", path, token=site.token("boss"))
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "javascript" not in answer.headers.get("content-type", "")


def test_s7_through_a_real_socket(door: Door):
    token = door.site.token("boss")
    assert door.get("/healthz").status == 200
    assert door.get("/healthz", host="evil.example").status == 421
    assert door.get(versioned(door.site.own), "Origin: https://evil.example", token=token).status == 403
    assert door.get(versioned(door.site.own), token=token).status == 200
    upgrade = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    for path in ("/", versioned(door.site.own), "/anything"):
        answer = door.raw(f"GET {path} HTTP/1.1\r\nHost: localhost:8443\r\nConnection: Upgrade\r\n{upgrade[0]}\r\n{upgrade[1]}\r\n{upgrade[2]}\r\n\r\n".encode())
        assert answer.status not in (101, 500), path
