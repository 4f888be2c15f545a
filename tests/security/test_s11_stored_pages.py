"""S11: what somebody stored or named is never run by a browser on this server's origin. More: tests/apps/blob/test_block_blob.py,
tests/apps/mlflow/test_artifacts.py, tests/apps/token/test_device.py."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from lazward.identity.sas import sign_blob_sas
from tests.control_plane import Answer, versioned
from tests.security.site import STORAGE, Site

SCRIPT = b"<html><script>alert(document.domain)</script></html>"
TYPES = ("text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/javascript", "text/html; charset=utf-7", "TEXT/HTML", "multipart/x-mixed-replace")
NAMES = ("page.html", "page.svg", "page.xhtml", "page.js", "page.md", "notebook.ipynb", "page", "page.html.png")


def harmless(answer: Answer) -> bool:
    """A browser does not run it with this origin's rights: it is kept in a sandbox, or saved."""
    policy, kind = answer.headers.get("content-security-policy", ""), answer.headers.get("content-type", "")
    kept = "sandbox" in policy and "allow-scripts" not in policy
    return answer.headers["x-content-type-options"] == "nosniff" and (kept or answer.headers.get("content-disposition", "").startswith("attachment") or kind.startswith(("application/json", "application/xml;")))


@pytest.mark.parametrize("kind", TYPES)
def test_s11_a_stored_page_is_data(site: Site, kind: str):
    token = site.token("boss", STORAGE)
    site.put_blob(site.own, "data/x", b"")
    for name in NAMES:
        made = site.blob("PUT", site.own, f"data/{name}", SCRIPT, token=token, headers={"x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": kind, "x-ms-blob-content-disposition": "inline"})
        assert made.status == 201
        for endpoint in ("blob", "dfs"):
            shown = site.blob("GET", site.own, f"data/{name}", token=token, kind=endpoint)
            assert shown.body == SCRIPT and harmless(shown), (name, endpoint, shown.headers)
        overrides = {"rsct": kind, "rscd": "inline"}
        sas = sign_blob_sas(site.key_of(site.own), site.account(site.own), "data", name, permissions="r", expires=2e9, overrides=overrides)
        shown = site.plane.send("GET", f"/{site.account(site.own)}.blob.core.windows.net/data/{name}?{sas}", token="")
        assert shown.body == SCRIPT and harmless(shown), (name, shown.headers)


def test_s11_an_artifact_is_data(site: Site):
    base = f"/mlflow/plain{site.own}/api/2.0"
    run = site.plane.send("POST", f"{base}/mlflow/runs/create", {"experiment_id": "0"}).json["run"]["info"]["run_id"]
    for name in NAMES:
        assert site.plane.send("PUT", f"{base}/mlflow-artifacts/artifacts/{run}/artifacts/{name}", SCRIPT, headers={"content-type": "text/html"}).status == 200
        shown = site.plane.send("GET", f"{base}/mlflow-artifacts/artifacts/{run}/artifacts/{name}")
        assert shown.headers["content-length"] == str(len(SCRIPT)) and harmless(shown), (name, shown.headers)  # the body is streamed


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "</title><script>", "'><svg onload=alert(1)>", "--><a href=javascript:alert(1)>"])
def test_s11_a_name_is_never_markup(site: Site, text: str):
    """Errors and pages that repeat what was asked for."""
    for path in (
        f"/{quote(text)}", f"/{quote(text)}/oauth2/v2.0/authorize", f"/device?user_code={quote(text)}", f"/{site.authority.tenant}/oauth2/v2.0/authorize?client_id={quote(text)}&redirect_uri={quote(text)}", f"/runs/{quote(text, safe='')}",
        versioned(f"{site.own}/jobs/{quote(text, safe='')}"), f"/mlflow/plain{site.own}/api/2.0/mlflow/runs/get?run_id={quote(text)}", f"/{site.account(site.own)}.blob.core.windows.net/{quote(text, safe='')}", f"/?x={quote(text)}", f"/openapi.json?x={quote(text)}",
    ):
        for token in ("", site.token("boss")):
            answer = site.plane.send("GET", path, token=token)
            kind = answer.headers.get("content-type", "")
            if kind.startswith("text/html"):
                assert text.encode() not in answer.body, path
                policy = answer.headers["content-security-policy"]
                assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy, (path, policy)
            else:
                assert kind.startswith(("application/json", "application/xml")) or not answer.body, (path, kind)
            assert answer.headers["x-content-type-options"] == "nosniff"
