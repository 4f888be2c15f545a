"""S8: who may do what never depends on an address that somebody else can write. Raw requests through a real socket: two readers of one
request must not see two. Below: tests/apps/blob/test_auth.py; the gateway: tests/apps/serving/test_gateway.py."""

from __future__ import annotations

import pytest

from lazward.contract.ids import ML
from lazward.identity.sas import sign_blob_sas
from tests.control_plane import versioned
from tests.security.door import Door

BAD_HOSTS = (
    "localhost:8443/x", "localhost:8443?x", "localhost:8443#x", "localhost:8443@evil.example", "evil.example@localhost:8443", "localhost:8443/../evil", "localhost 8443",
    "localhost:8443, evil.example", "localhost:port", "localhost:8443\t", "local\\host", "localhost:123456", "[::1", "https://localhost:8443",
)


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_s8_a_host_that_is_no_host_is_refused(door: Door, host: str):
    for path in ("/healthz", "/", versioned(door.site.own), "/device"):
        answer = door.get(path, host=host, token=door.site.token("boss"))
        assert answer.status in (400, 421), (host, path, answer.status)


def test_s8_two_hosts_are_refused(door: Door):
    for hosts in (("localhost:8443", "evil.example"), ("evil.example", "localhost:8443"), ("localhost:8443", "localhost:8443")):
        lines = "".join(f"Host: {host}\r\n" for host in hosts)
        answer = door.raw(f"GET /healthz HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
        assert answer.status == 400, hosts
    assert door.raw(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").status in (400, 421)  # and none at all
    assert door.raw(b"GET /healthz HTTP/1.0\r\n\r\n").status in (400, 421)


def test_s8_an_absolute_address_is_judged_as_any_other(door: Door):
    token = door.site.token("none")
    for base in ("https://localhost:8443", "https://evil.example", "http://evil.example:80", "//evil.example"):
        assert door.get(f"{base}{versioned(door.site.own)}", token=token).status in (400, 403, 404, 421), base
        assert door.get(f"{base}{versioned(door.site.own)}").status in (400, 401, 404, 421), base
        assert door.get(f"{base}/healthz", host="evil.example").status in (400, 421)


FORWARDED = (
    "X-Forwarded-Host: localhost:8443", "X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.7;host=localhost;proto=https", "X-Real-IP: 203.0.113.7", "X-Forwarded-Proto: http",
    "X-Forwarded-Prefix: /healthz", "X-Original-URL: /healthz", "X-Rewrite-URL: /healthz", "X-Original-URI: /healthz", "X-HTTP-Method-Override: GET", "X-HTTP-Method: GET",
    "X-Forwarded-User: root", "X-Remote-User: root", "X-MS-CLIENT-PRINCIPAL-ID: 00000000-0000-0000-0000-000000000000",
)


def test_s8_what_proxies_say_is_not_believed(door: Door):
    site = door.site
    for line in FORWARDED:
        assert door.get(versioned(site.own), line).status == 401, line
        assert door.get(versioned(site.own), line, token=site.token("none")).status == 403, line
        assert door.get("/healthz", line, host="evil.example").status == 421, line
        found = door.get("/metadata/endpoints?api-version=2019-05-01", line)
        assert found.status == 200 and b"203.0.113.7" not in found.body and b"evil" not in found.body
    away = door.get(versioned(f"{site.own}/jobs/x"), "X-HTTP-Method-Override: DELETE", token=site.token("Reader"))
    assert away.status == 404  # it was a GET


def test_s8_a_signature_for_one_address_does_not_hold_for_who_names_it(door: Door):
    """uvicorn believes X-Forwarded-For of local peers unless told not to."""
    site = door.site
    site.put_blob(site.own, "data/x", b"mine")
    place = f"/{site.account(site.own)}.blob.core.windows.net/data/x"
    elsewhere = sign_blob_sas(site.key_of(site.own), site.account(site.own), "data", "x", permissions="r", expires=2e9, ip="203.0.113.7")
    here = sign_blob_sas(site.key_of(site.own), site.account(site.own), "data", "x", permissions="r", expires=2e9, ip="127.0.0.1")
    assert door.get(f"{place}?{here}").body == b"mine"
    for line in ("X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 127.0.0.1, 203.0.113.7", "Forwarded: for=203.0.113.7"):
        assert door.get(f"{place}?{elsewhere}", line).status == 403, line


def test_s8_a_guesser_is_not_another_one_with_every_try(door: Door):
    """S6 by way of S8: the pause after wrong secrets is per peer, and the peer is not what a header says."""
    client, path = door.site.people["Reader"].app_id, f"/{door.site.authority.tenant}/oauth2/v2.0/token"
    body = f"grant_type=client_credentials&client_id={client}&client_secret=lzs_wrong&scope=https://management.azure.com/.default".encode()
    answers = [
        door.get(path, "Content-Type: application/x-www-form-urlencoded", f"X-Forwarded-For: 203.0.113.{n}", method="POST", body=body).status for n in range(8)
    ]
    assert answers[:5] == [401] * 5 and 429 in answers[5:]


def test_s8_raw_paths_are_refused_or_mean_what_is_checked(door: Door):
    """Whatever the spelling, nobody without a role gets an answer about a workspace, and a Reader of one gets none about another."""
    site, providers = door.site, f"/providers/{ML}"
    group, own = site.group, site.own.rsplit("/", 1)[0]
    for form in (
        f"/{site.other}", f"//{site.other}", f"/healthz/..{site.other}", f"/healthz/%2e%2e{site.other}", f"/.{site.other}", f"{own}/own/../other", f"{own}/own/%2e%2e/other",
        f"{own}/own%2f..%2fother", f"{own}/other%00", f"{own}/other;x", f"{own}/other%3fx", f"{own}/other%23", f"{own}/%6fther", f"{own}/OTHER", f"{own}/other/", f"{own}//other",
        f"{group}%2fproviders%2f{ML}%2fworkspaces%2fother", f"{site.own}{providers}/workspaces/other", f"/mferp/managementfrontend{site.other}", f"/MFERP/managementfrontend/{site.other}",
        f"{own}/own/jobs/..%5c..%5cother", f"{own}/o\u0074her", site.other.replace("/subscriptions", "/Subscriptions"), f"/healthz?{site.other}", f"{site.other}/healthz", f"{site.other}/ready",
    ):
        for suffix in ("?api-version=2025-12-01", ""):
            stranger = door.get(form + suffix)
            assert stranger.status in (400, 401, 404, 405, 421) or form.startswith("/healthz?"), (form, stranger.status)
            reader = door.get(form + suffix, token=site.token("Reader"))
            assert reader.status in (400, 403, 404, 405, 421, 501) or form.startswith("/healthz?"), (form, reader.status)
            assert b'"discoveryUrl"' not in reader.body + stranger.body


def test_s8_one_request_is_one_request(door: Door):
    """Smuggling: lengths that contradict each other, trailers that pose as headers, a second request in the first one's body."""
    token, path = door.site.token("boss"), versioned(door.site.own)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost:8443\r\nConnection: close\r\n"
    smuggled = f"GET {path} HTTP/1.1\r\nHost: localhost:8443\r\nAuthorization: Bearer {token}\r\n\r\n"
    for lines in (
        "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding : chunked\r\n", "Content-Length: +5\r\n", "Content-Length: 0x5\r\n", "Content-Length: -1\r\n", "X: a\x00b\r\n",
    ):
        answer = door.raw((head + lines + "\r\n0\r\n\r\n" + smuggled).encode("latin-1"))
        assert answer.status in (0, 400, 401, 405), (lines, answer.status)
        assert b"discoveryUrl" not in answer.body, lines
    trailer = f"GET {path} HTTP/1.1\r\nHost: localhost:8443\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\nConnection: close\r\n\r\n0\r\nAuthorization: Bearer {token}\r\n\r\n"
    assert door.raw(trailer.encode()).status == 401
    assert door.get(path, f"X: 1\nAuthorization: Bearer {token}").status in (400, 401)
