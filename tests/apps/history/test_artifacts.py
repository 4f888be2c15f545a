from __future__ import annotations

import httpx2
import pytest

from lazward.apps.blob.routes import blob_routes
from lazward.apps.chain import Chain
from lazward.apps.history.scope import HISTORY as SURFACE
from tests.apps.tracking_app import HISTORY
from tests.storage.tracking_data import OTHER, WORKSPACE, make_run

BASE = HISTORY + "/experiments/x/runs/r1/artifacts"
UPLOAD = f"/artifact/v2.0{WORKSPACE}/artifacts/LocalUpload/240101T1-abc"


@pytest.fixture(autouse=True)
def run(app):
    make_run(app.db, "r1")
    make_run(app.db, "theirs", key=OTHER.key)
    app.chain = Chain(app.services, [*app.routes(), *blob_routes(app.services)], fallback=SURFACE)


def blob(app):
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app.chain))


@pytest.mark.parametrize("base", [BASE, HISTORY + "/experimentids/0/runs/r1/artifacts", UPLOAD])
async def test_files_go_up_and_come_back_by_links(app, base):
    async with app.client() as client, blob(app) as storage:
        made = (await client.post(base + "/batch/metadata", json={"paths": [{"path": "a/b c.txt"}, {"path": "z.bin"}]})).json()
        assert made["errors"] == {}
        assert made["artifacts"]["a/b c.txt"]["path"] == "a/b c.txt"
        for path, content in made["artifactContentInformation"].items():
            answer = await storage.put(content["contentUri"], content=path.encode(), headers={"x-ms-blob-type": "BlockBlob", "if-none-match": "*"})
            assert answer.status_code == 201, answer.text
        assert [a["path"] for a in (await client.get(base)).json()["value"]] == ["a/b c.txt", "z.bin"]
        assert [a["path"] for a in (await client.get(base + "/path?path=a")).json()["value"]] == ["a/b c.txt"]
        assert (await client.get(base + "/metadata?path=z.bin")).json()["path"] == "z.bin"
        uris = [
            (await client.get(base + "/contentinfo?path=a/b%20c.txt")).json()["contentUri"], (await client.get(base + "/artifacturi?path=a/b%20c.txt")).json(),
            (await client.get(base + "/prefix/contentinfo?path=a")).json()["value"][0]["contentUri"],
        ]
        for uri in uris:
            assert (await storage.get(uri)).content == b"a/b c.txt"
            assert (await storage.put(uri, content=b"x", headers={"x-ms-blob-type": "BlockBlob"})).status_code == 403


async def test_both_names_of_a_runs_folder_are_one(app):
    async with app.client() as client:
        made = (await client.post(BASE + "/batch/metadata", json={"paths": [{"path": "a"}]})).json()["artifacts"]["a"]
        base = f"/artifact/v2.0{WORKSPACE}/artifacts/{made['origin']}/{made['container']}"
        assert (await client.post(base + "/batch/metadata", json={"paths": [{"path": "a"}]})).json()["artifacts"]["a"] == made
        for origin in ("ExperimentRun/dcid.none", "ExperimentRun/dcid.theirs", "Other/x", "ExperimentRun/x"):
            assert (await client.get(f"/artifact/v2.0{WORKSPACE}/artifacts/{origin}")).status_code == 404, origin


async def test_long_lists_come_in_pages(app, monkeypatch):
    monkeypatch.setattr("lazward.apps.history.artifacts.PAGE", 3)
    await app.blobs.ensure_container("stws", "azureml")
    for i in range(7):
        await app.blobs.put("stws", "azureml", f"ExperimentRun/dcid.r1/dir/ä{i}", b"x")
    await app.blobs.put("stws", "azureml", "ExperimentRun/dcid.r1/dirt", b"x")
    seen, url = [], f"{BASE}/prefix/contentinfo?path=dir"
    async with app.client() as client:
        while url:
            page = (await client.get(url)).json()
            seen += [v["path"] for v in page["value"]]
            url = page["nextLink"]
    assert seen == [f"dir/ä{i}" for i in range(7)]


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "a\\b", "%2e%2e/x", "a\0b", "", "x" * 1100])
async def test_s2_bad_paths_are_told_apart(app, path):
    async with app.client() as client:
        answer = await client.post(BASE + "/batch/metadata", json={"paths": [{"path": path}, {"path": "good"}]})
        if path:
            assert list(answer.json()["artifacts"]) == ["good"]
            assert answer.json()["errors"][path]["error"]["code"] == "UserError"
        else:
            assert answer.status_code == 400
        for call in ("contentinfo", "metadata", "artifacturi"):
            assert (await client.get(f"{BASE}/{call}", params={"path": path})).status_code == 400, call


async def test_what_is_not_there(app):
    async with app.client() as client:
        assert (await client.get(BASE)).json() == {"value": [], "continuationToken": None, "nextLink": None}
        for call in ("contentinfo", "metadata", "artifacturi"):
            answer = await client.get(f"{BASE}/{call}?path=none")
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NotFound")
            assert (await client.get(f"{BASE}/{call}")).status_code == 400
        for run in ("none", "theirs", "..", "a%20b"):
            assert (await client.get(f"{HISTORY}/experiments/x/runs/{run}/artifacts")).status_code in (400, 404), run
        for body in ({}, {"paths": "a"}, {"paths": [{}]}, {"paths": [None]}, {"paths": [{"path": "a"}] * 5001}):
            assert (await client.post(BASE + "/batch/metadata", json=body)).status_code == 400, str(body)[:80]
