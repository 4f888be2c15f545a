"""The proxied artifact store over HTTP: S2 and S11 at the door, streams of any size, uploads in parts."""

from __future__ import annotations

import json
import resource
from urllib.parse import quote, urlsplit

import httpx2
import pytest

from lazward.apps.blob.routes import blob_routes
from lazward.apps.chain import Chain
from lazward.apps.mlflow.routes import MLFLOW
from tests.apps.tracking_app import PLAIN, App
from tests.storage.tracking_data import KEY, NOW, OTHER, make_run

FILES = PLAIN + "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(autouse=True)
def run(app):
    make_run(app.db, "r1")
    make_run(app.db, "r2", key=OTHER.key)


@pytest.fixture
def with_blobs(app) -> App:
    """Links lead to the blob surface."""
    app.chain = Chain(app.services, [*app.routes(), *blob_routes(app.services)], fallback=MLFLOW)
    return app


async def names(app, prefix=""):
    page = await app.blobs.list("stws", "azureml", prefix=prefix)
    return [b.name for b in page.blobs]


async def test_put_get_list_delete(app):
    async with app.client() as client:
        for path, data in (("a.txt", b"1"), ("dir/b c.txt", b"22"), ("dir/ä.txt", b""), ("dirt", b"4")):
            assert (await client.put(f"{FILES}/r1/artifacts/{quote(path)}", content=data)).status_code == 200
            answer = await client.get(f"{FILES}/r1/artifacts/{quote(path)}")
            assert (answer.content, answer.headers["content-length"]) == (data, str(len(data)))
        listed = (await client.get(f"{FILES}?path=r1/artifacts")).json()["files"]
        assert listed == [{"path": "a.txt", "is_dir": False, "file_size": 1}, {"path": "dir", "is_dir": True}, {"path": "dirt", "is_dir": False, "file_size": 1}]
        assert [f["path"] for f in (await client.get(f"{FILES}?path=r1/artifacts/dir")).json()["files"]] == ["b c.txt", "ä.txt"]
        shown = (await client.get(f"{PLAIN}/api/2.0/mlflow/artifacts/list?run_id=r1&path=dir")).json()
        assert (shown["root_uri"], [f["path"] for f in shown["files"]]) == ("mlflow-artifacts:/r1/artifacts", ["dir/b c.txt", "dir/ä.txt"])
        assert (await client.get(f"{FILES}?path=r1/artifacts/a.txt")).json() == {"files": []}  # a file has nothing below it
        assert (await client.delete(f"{FILES}/r1/artifacts/dir")).status_code == 200
        assert await names(app) == ["ExperimentRun/dcid.r1/a.txt", "ExperimentRun/dcid.r1/dirt"]
        assert (await client.delete(f"{FILES}/r1/artifacts/nothing")).status_code == 200
        assert (await client.head(f"{FILES}/r1/artifacts/a.txt")).headers["content-length"] == "1"


@pytest.mark.parametrize("path", [
    "r1/artifacts/../../r2/artifacts/x", "r1/artifacts/..%2f..%2fx", "r1/artifacts/%2e%2e/x", "r1/artifacts/%252e%252e/x", "r1/artifacts//etc/passwd", "r1/artifacts/a%5c..%5cb",
    "r1/artifacts/a%00b", "r1/artifacts/%0d%0ax", "r1/artifacts/c:/x", "../artifacts/x", "r1/../r1/artifacts/x", "r1/x", "r1", "%2e%2e/artifacts/x", "/etc/passwd", "r1%2f..%2fr2/artifacts/x",
    "r2/artifacts/x", "file:///etc/passwd", "r1/artifactsx/y", "r1:1/artifacts/x",
])
async def test_s2_s3_no_way_out(app, path):
    await app.blobs.ensure_container("stws", "azureml")
    await app.blobs.put("stws", "azureml", "ExperimentRun/dcid.other/x", b"secret")
    for method in ("GET", "PUT", "DELETE"):
        status, body = await app.raw(method, f"{FILES}/{path}", b"evil" if method == "PUT" else b"")
        assert status in (400, 404), (method, path, body)
        if "%00" not in path:  # that one the chain refuses before it knows whose address it is
            assert json.loads(body)["error_code"] in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
    async with app.client() as client:
        for query in (f"{FILES}?path={quote(path)}", f"{PLAIN}/api/2.0/mlflow/artifacts/list?run_id=r1&path={quote('../' + path)}"):
            assert (await client.get(query)).status_code in (400, 404), query
    assert await names(app) == ["ExperimentRun/dcid.other/x"]


async def test_s11_a_page_is_a_download(app):
    async with app.client() as client:
        await client.put(f"{FILES}/r1/artifacts/evil.html", content=b"<script>", headers={"content-type": "text/html"})
        answer = await client.get(f"{FILES}/r1/artifacts/evil.html")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == 'attachment; filename="evil.html"'
        assert "sandbox" in answer.headers["content-security-policy"]
        await client.put(f'{FILES}/r1/artifacts/{quote("a b;.html")}', content=b"x")
        assert (await client.get(f'{FILES}/r1/artifacts/{quote("a b;.html")}')).headers["content-disposition"] == 'attachment; filename="a_b_.html"'


async def test_s19_uploads_and_downloads_are_streams(app):
    """256 MiB go through without growing by more than a part of it."""
    size, piece = 256 * 2**20, b"x" * 2**20

    async def body():
        for _ in range(size // len(piece)):
            yield piece

    async with app.client() as client:
        await client.put(f"{FILES}/r1/artifacts/warm", content=b"x")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert (await client.put(f"{FILES}/r1/artifacts/big", content=body())).status_code == 200
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < size / 4
    info = await app.blobs.info("stws", "azureml", "ExperimentRun/dcid.r1/big")
    assert info.size == size


async def test_parts_go_up_by_links(with_blobs):
    app = with_blobs
    mpu = PLAIN + "/api/2.0/mlflow-artifacts/mpu"
    async with app.client() as client:
        made = (await client.post(f"{mpu}/create/r1/artifacts/deep/er", json={"path": "/home/me/big.bin", "num_parts": 3})).json()
        assert [c["part_number"] for c in made["credentials"]] == [1, 2, 3]
        for number, credential in reversed(list(enumerate(made["credentials"]))):
            answer = await httpx2.AsyncClient(transport=httpx2.ASGITransport(app.chain)).put(credential["url"], content=b"%d" % number * 1000, headers=credential["headers"])
            assert answer.status_code == 201, answer.text
        parts = [{"part_number": n, "etag": ""} for n in (3, 1, 2)]
        done = await client.post(f"{mpu}/complete/r1/artifacts/deep/er", json={"path": "big.bin", "upload_id": made["upload_id"], "parts": parts})
        assert done.status_code == 200, done.text
        assert (await client.get(f"{FILES}/r1/artifacts/deep/er/big.bin")).content == b"0" * 1000 + b"1" * 1000 + b"2" * 1000
        aborted = (await client.post(f"{mpu}/create/r1/artifacts", json={"path": "C:\\x\\no.bin", "num_parts": 1})).json()
        assert "/no.bin?" in aborted["credentials"][0]["url"]
        assert (await client.post(f"{mpu}/abort/r1/artifacts", json={"path": "no.bin", "upload_id": aborted["upload_id"]})).status_code == 200
        for body in ({"path": "x", "num_parts": 0}, {"path": "x", "num_parts": 10_001}, {"num_parts": 1}, {"path": "x/..", "num_parts": 1}):
            assert (await client.post(f"{mpu}/create/r1/artifacts", json=body)).status_code == 400, body
        for change in ({"upload_id": "x"}, {"parts": []}, {"parts": [{}]}, {"parts": [{"part_number": 9}]}):
            body = {"path": "big.bin", "upload_id": made["upload_id"], "parts": parts, **change}
            assert (await client.post(f"{mpu}/complete/r1/artifacts", json=body)).status_code == 400, change


async def test_links_do_one_thing_to_one_blob(with_blobs):
    app = with_blobs
    blob = httpx2.AsyncClient(transport=httpx2.ASGITransport(app.chain))
    async with app.client() as client:
        up = (await client.post(f"{PLAIN}/api/2.0/mlflow/artifacts/presigned-upload-url", json={"run_id": "r1", "path": "a b.txt"})).json()
        assert (await blob.put(up["presigned_url"], content=b"hello", headers=up["headers"])).status_code == 201
        down = (await client.post(f"{PLAIN}/api/2.0/mlflow/artifacts/presigned-download-url", json={"run_id": "r1", "path": "a b.txt"})).json()
        assert ((await blob.get(down["presigned_url"])).content, down["file_size"]) == (b"hello", 5)
        assert (await client.get(f"{PLAIN}/api/2.0/mlflow-artifacts/presigned/r1/artifacts/a%20b.txt")).json()["file_size"] == 5
        assert (await blob.put(down["presigned_url"], content=b"evil", headers=up["headers"])).status_code == 403
        assert (await blob.get(up["presigned_url"])).status_code == 403
        assert (await blob.get(down["presigned_url"].replace("a%20b.txt", "other.txt"))).status_code == 403
        for body in ({"run_id": "r1"}, {"run_id": "r1", "model_id": "m", "path": "x"}, {"path": "x"}, {"run_id": "r1", "path": "../x"}):
            assert (await client.post(f"{PLAIN}/api/2.0/mlflow/artifacts/presigned-upload-url", json=body)).status_code == 400, body
        assert (await client.post(f"{PLAIN}/api/2.0/mlflow/artifacts/presigned-download-url", json={"run_id": "r1", "path": "a b.txt", "expiration": 604_801})).status_code == 400
    assert urlsplit(up["presigned_url"]).path == "/stws.blob.core.windows.net/azureml/ExperimentRun/dcid.r1/a%20b.txt"


async def test_artifacts_of_models(app):
    from lazward.storage import logged_models

    model = "m-" + "0" * 32
    app.db.write_now(logged_models.create, KEY, model, "0", "clf", "", "r1", {}, {}, NOW)
    async with app.client() as client:
        assert (await client.put(f"{FILES}/{model}/artifacts/MLmodel", content=b"x")).status_code == 200
        listed = (await client.get(f"{PLAIN}/api/2.0/mlflow/logged-models/{model}/artifacts/directories")).json()
        assert (listed["files"], listed["root_uri"]) == ([{"path": "MLmodel", "is_dir": False, "file_size": 1}], f"mlflow-artifacts:/{model}/artifacts")
        assert (await client.put(f"{FILES}/m-{'1' * 32}/artifacts/MLmodel", content=b"x")).status_code == 404
