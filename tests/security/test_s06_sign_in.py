"""S6: nobody is let in by default, by guessing, or by making themselves an account. More: tests/apps/token/test_throttle.py, test_oauth.py,
tests/orchestration/test_bootstrap.py; guessing through a proxy's headers: test_s08_addresses.py."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.control_plane import Answer, make_plane, versioned
from tests.security.site import Site, guid

GUESSES = ("", "admin", "password", "lazward", "changeme", "azureml", "null", "None", "undefined", "0", "lzs_", "lzs_" + "A" * 43, "\0", "' OR '1'='1")


def token(site: Site, client: str, secret: str, **more: str) -> Answer:
    body = urlencode({"grant_type": "client_credentials", "client_id": client, "client_secret": secret, "scope": "https://management.azure.com/.default", **more})
    return site.plane.send("POST", f"/{site.authority.tenant}/oauth2/v2.0/token", body.encode(), token="", headers={"content-type": "application/x-www-form-urlencoded"})


def test_s6_the_first_principal_is_random_and_its_file_private(tmp_path: Path):
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        plane = make_plane(f"sqlite:///{tmp_path / name}/x.db", tmp_path / name, real=True)
        path = next((tmp_path / name / "data").rglob("principal.json"))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        found.append(json.loads(path.read_text()))
        plane.close()
    assert len(found[0]["secret"]) >= 43
    for member in ("secret", "client_id", "object_id", "tenant_id", "subscription_id"):
        assert found[0][member] != found[1][member], member


@pytest.mark.parametrize("guess", GUESSES)
def test_s6_no_usual_secret_opens_anything(site: Site, guess: str):
    victim = site.principal(f"victim {guid()}")
    for client in (victim.app_id or "", victim.id, "admin", "root", "lazward", "", "00000000-0000-0000-0000-000000000000"):
        assert token(site, client, guess).status in (400, 401, 429), client
    for header in (guess, f"Bearer {guess}", f"Basic {guess}", "Bearer null", "bearer"):
        if "\0" not in header:
            assert site.plane.send("GET", versioned(site.own), token="", headers={"authorization": header}).status == 401
    for secret in (guess, f"lzjob.{guess}.{guess}"):
        assert site.plane.send("GET", "/msi/token?api-version=2019-08-01&resource=a", token="", headers={"x-identity-header": secret}).status == 401


def test_s6_guessing_is_slowed_and_locks_nobody_else_out(site: Site):
    victim, other = site.principal(f"victim {guid()}"), site.principal(f"other {guid()}")
    statuses = [token(site, victim.app_id or "", f"lzs_guess{n}").status for n in range(8)]
    assert statuses[:5] == [401] * 5 and statuses[-1] == 429
    assert token(site, victim.app_id or "", site.secrets[victim.name]).status == 429  # not even looked at while the pause lasts
    assert token(site, other.app_id or "", site.secrets[other.name]).status == 200


def test_s6_an_answer_does_not_tell_which_clients_there_are(site: Site):
    known = token(site, site.people["Owner"].app_id or "", "lzs_wrong").json
    unknown = token(site, guid(), "lzs_wrong").json
    assert known["error"] == unknown["error"] == "invalid_client" and known["error_codes"] == unknown["error_codes"]


def test_s6_nobody_makes_an_account(site: Site):
    for path in ("/signup", "/register", "/api/2.0/mlflow/users/create", f"/mlflow/plain{site.own}/api/2.0/mlflow/users/create", "/users", "/v1.0/servicePrincipals", "/v1.0/applications", f"/{site.authority.tenant}/oauth2/v2.0/register"):
        for who in ("", site.token("none"), site.token("Owner")):
            answer = site.plane.send("POST", path, {"username": "x", "password": "y", "displayName": "x"}, token=who)
            assert answer.status in (401, 403, 404, 405), (path, answer.status)


def test_s6_a_disabled_principal_is_nobody(site: Site):
    from lazward.storage import access

    gone = site.principal(f"gone {guid()}", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", site.own)
    live = site.token(gone.name)
    assert site.plane.send("GET", versioned(site.own), token=live).status == 200
    site.plane.db.write_now(lambda tx: (access.set_enabled(tx, gone.id, False, site.plane.clock()), site.authority.changed(tx)))
    assert site.plane.send("GET", versioned(site.own), token=live).status == 401
    assert token(site, gone.app_id or "", site.secrets[gone.name]).status == 401
