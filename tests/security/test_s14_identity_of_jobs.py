"""S14: what a job carries reaches its own workspace while it runs, cannot be turned into more, and is not the machine's identity. Who
may do what with it: test_s05_roles.py; the gateway: tests/orchestration/test_gateway.py; what is inherited: tests/orchestration/test_jobs.py."""

from __future__ import annotations

import pytest

from tests.control_plane import versioned
from tests.security.site import MANAGEMENT, STORAGE, Site, guid
from tests.security.whole import Whole


def test_s14_a_run_gets_no_key_that_outlives_it(site: Site):
    """Neither a user delegation key, nor, by any grant, a token without its limits."""
    token = site.token("job", STORAGE)
    body = b"<?xml version='1.0'?><KeyInfo><Start>2020-01-01T00:00:00Z</Start><Expiry>2099-01-01T00:00:00Z</Expiry></KeyInfo>"
    assert site.blob("POST", site.own, "?restype=service&comp=userdelegationkey", body, token=token).status == 403
    tracking, identity = site.authority.for_job(site.people["boss"].id, site.own.lower(), "runner")
    for audience in (MANAGEMENT, STORAGE, "https://graph.microsoft.com"):
        exchanged = site.plane.send("GET", f"/msi/token?api-version=2019-08-01&resource={audience}", token="", headers={"x-identity-header": identity}).json["access_token"]
        asked = site.plane.send("GET", versioned(site.other), token=exchanged)
        assert asked.status in (401, 403), audience
        assert site.blob("GET", site.other, "?comp=list", token=exchanged).status in (401, 403)
    for grant in ("refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange", "client_credentials", "authorization_code"):
        form = f"grant_type={grant}&client_id={site.people['boss'].app_id}&client_secret={identity}&assertion={tracking}&refresh_token={tracking}&code={tracking}&scope=https://management.azure.com/.default"
        answer = site.plane.send("POST", f"/{site.authority.tenant}/oauth2/v2.0/token", form.encode(), token="", headers={"content-type": "application/x-www-form-urlencoded"})
        assert answer.status in (400, 401, 429) and "access_token" not in answer.json, grant


@pytest.mark.parametrize("forged", ["lzjob..", "lzjob.00.00", "x", "lzjob"])
def test_s14_an_identity_is_not_made_by_hand(site: Site, forged: str):
    _, identity = site.authority.for_job(site.people["boss"].id, site.own.lower(), "runner")
    kind, text, mac = identity.split(".")
    other = bytes.fromhex(text).replace(b"workspaces/own", b"workspaces/far").hex()
    for secret in (forged, f"{kind}.{other}.{mac}", f"{kind}.{text}.{mac[:-1]}0", f"{kind}.{text}.", f"{kind}.{text.upper()}x.{mac}"):
        if secret != identity:
            assert site.plane.send("GET", "/msi/token?api-version=2019-08-01&resource=a", token="", headers={"x-identity-header": secret}).status == 401, secret


def test_s14_registered_code_cannot_be_exchanged(site: Site):
    """What a job will run was fixed when it was registered."""
    code = f"{site.own}/codes/{guid()}/versions/1"
    place = f"https://{site.account(site.own)}.blob.core.windows.net/c"
    site.plane.put(code, {"properties": {"codeUri": f"{place}/one"}})
    answer = site.plane.send("PUT", versioned(code), {"properties": {"codeUri": f"{place}/two"}}, token=site.token("Contributor"))
    assert (answer.status, answer.error["code"]) == (409, "ImmutablePropertyChanged")


@pytest.mark.xdist_group("whole")
def test_s14_a_job_is_pointed_to_this_server_for_its_identity(whole: Whole):
    given = whole.job["environ"]
    for name in ("IDENTITY_ENDPOINT", "MSI_ENDPOINT"):
        assert given[name].startswith(whole.server.base + "/msi/token"), name
    assert "169.254.169.254" not in " ".join(given.values())
    for payload in whole.payloads:  # a model server has none at all
        assert not {"IDENTITY_ENDPOINT", "MSI_ENDPOINT", "IDENTITY_HEADER"} & set(payload["environ"])
