"""S2 and S3 through every interface of the whole control plane: whatever a name, path or source says, it is a name inside of the caller's
own place, or it is refused; no file of the machine is read, and none is written or deleted.

Below: tests/domain/tracking/test_paths.py, tests/apps/blob/test_block_blob.py, tests/apps/mlflow/test_artifacts.py and test_model_sources.py,
tests/storage/blobs/test_materialize.py (from names to files), tests/cli/test_archive.py (slips in backups)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.control_plane import versioned
from tests.make import KINDS
from tests.security.site import CURATED, STORAGE, Site, guid

MARKER = b"what nobody may read"
EVIL = (
    "..", "../x", "../../../../../../etc/passwd", "..\\..\\x", "a/../../x", "/etc/passwd", "//etc/passwd", "\\\\host\\share", "C:\\x", "file:///etc/passwd", "file://localhost/etc/passwd", "~/x",
    "a/./b", "./x", ".", "a//b", "..;/x", "x;/../y", "%2e%2e/x", "%2e%2e%2fx", "%252e%252e%252fx", "..%c0%afx", "..%2f..%2fx", "x%00y", "x\ny", "x?../y", "x#../y", "...", ".. /x", "..\u2215x", "\uff0e\uff0e/x",
    "x" * 3000, "a/" * 600 + "b", "CON", "x\u202ey", "$(id)", "`id`", "%s%n", "{0}", "-rf",
)


def sent(text: str, twice: bool = False) -> str:
    """As a client writes it into an address: encoded once or twice."""
    once = quote(text, safe="")
    return quote(once, safe="") if twice else once


def files(root: Path) -> dict[str, str]:
    """Every file below root but the database, and what is in it."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            if ".db" not in name and "/blobs" not in folder:
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def calls(site: Site, text: str, run: str) -> Iterator[tuple[str, str, Any]]:
    base = f"/mlflow/plain{site.own}/api/2.0"
    for path in (sent(text), sent(text, True), text.replace("?", "%3f").replace("#", "%23").replace("\n", "%0a").replace(" ", "%20")):
        for artifact in (f"{run}/artifacts/{path}", f"{path}/artifacts/x", path):
            for method, rest in (("GET", "artifacts"), ("PUT", "artifacts"), ("DELETE", "artifacts"), ("GET", "presigned"), ("POST", "mpu/create"), ("POST", "mpu/complete"), ("POST", "mpu/abort")):
                yield method, f"{base}/mlflow-artifacts/{rest}/{artifact}", {"path": "x", "num_parts": 1} if method == "POST" else MARKER[::-1] if method == "PUT" else None
        yield "GET", f"{base}/mlflow-artifacts/artifacts?path={path}", None
        yield "GET", f"{base}/mlflow-artifacts/artifacts?path={run}/artifacts/{path}", None
        yield "GET", f"{base}/mlflow/artifacts/list?run_id={run}&path={path}", None
        yield "GET", f"{base}/mlflow/artifacts/list?run_id={path}", None
        for tail in ("path", "metadata", "contentinfo", "prefix/contentinfo", "artifacturi"):
            yield "GET", f"/history/v1.0{site.own}/experiments/Default/runs/{run}/artifacts/{tail}?path={path}", None
            yield "GET", f"/artifact/v2.0{site.own}/artifacts/LocalUpload/{path}/{tail}?path={path}", None
        for path_of in KINDS:
            if path_of.startswith("workspaces/"):
                collection = "/".join(f"{piece}/{path}" for piece in path_of.split("/")[1:])
                yield "GET", versioned(f"{site.own}/{collection}"), None
                yield "DELETE", versioned(f"{site.own}/{collection}"), None
    for source in (text, f"runs:/{run}/{text}", f"mlflow-artifacts:/{run}/artifacts/{text}", f"models:/{text}/1", f"azureml://datastores/workspaceblobstore/paths/{text}", f"azureml://artifacts/LocalUpload/x/{text}", f"dbfs:/{text}"):
        yield "POST", f"{base}/mlflow/model-versions/create", {"name": "evil", "source": source}
        yield "POST", f"{base}/mlflow/experiments/create", {"name": guid(), "artifact_location": source}
    yield "POST", f"{base}/mlflow/runs/set-tag", {"run_id": run, "key": "mlflow.source.name", "value": text}
    yield "POST", f"{base}/mlflow/registered-models/create", {"name": text}
    yield "POST", f"/history/v1.0{site.own}/experiments/Default/runs/{run}/artifacts/batch/metadata", {"paths": [{"path": text}]}
    yield "POST", f"/data/v1.0{site.own}/dataversion/batchGetResolvedUris", {"values": [text, f"azureml://datastores/workspaceblobstore/paths/{text}", f"azureml:/{text}"]}
    job = {"jobType": "Command", "command": "echo", "environmentId": CURATED}
    for change in ({"codeId": text}, {"codeId": f"{site.own}/codes/{text}/versions/1"}, {"environmentId": text}, {"inputs": {"x": {"jobInputType": "uri_file", "uri": text}}}, {"inputs": {text: {"jobInputType": "literal", "value": "1"}}},
                   {"outputs": {"x": {"jobOutputType": "uri_folder", "uri": text}}}, {"outputs": {text: {"jobOutputType": "uri_folder"}}}):
        yield "PUT", versioned(f"{site.own}/jobs/{guid()}"), {"properties": {**job, **change}}


@pytest.mark.parametrize("text", EVIL, ids=[ascii(text)[:24] for text in EVIL])
def test_s2_s3_no_text_leads_to_a_file_of_the_machine(site: Site, text: str):
    plane = site.plane
    marker = plane.folder / "data" / "marker"
    marker.write_bytes(MARKER)
    token, base = site.token("boss"), f"/mlflow/plain{site.own}/api/2.0/mlflow"
    run = plane.send("POST", f"{base}/runs/create", {"experiment_id": "0"}, token=token).json["run"]["info"]["run_id"]
    plane.send("POST", f"{base}/registered-models/create", {"name": "evil"}, token=token)
    before = files(plane.folder)
    for method, target, body in calls(site, text, run):
        answer = plane.send(method, target, body, token=token)
        assert answer.status < 500 or answer.status == 501, (method, target[:200], answer.status, answer.body[:300])
        assert MARKER not in answer.body and b"root:" not in answer.body, (method, target)
    storage = site.token("boss", STORAGE)
    for path in (sent(text), f"azureml/{sent(text)}", f"azureml/{sent(text, True)}", f"{sent(text)}/x"):
        for method, headers in (("GET", {}), ("PUT", {"x-ms-blob-type": "BlockBlob"}), ("DELETE", {}), ("PUT", {"x-ms-copy-source": f"https://localhost:8443/{site.account(site.own)}.blob.core.windows.net/{sent(text)}"})):
            for kind in ("blob", "dfs"):
                answer = site.blob(method, site.own, path, b"x" if method == "PUT" else None, token=storage, headers=headers, kind=kind)
                assert answer.status < 500 or answer.status == 501, (method, path, answer.status, answer.body[:300])
                assert MARKER not in answer.body and b"root:" not in answer.body
    for renamed in (text.encode("ascii", "ignore").decode().replace("\n", ""), f"/azureml/{sent(text)}"):
        assert site.blob("PUT", site.own, "azureml/renamed", b"", token=storage, headers={"x-ms-rename-source": renamed}, kind="dfs").status < 500
    assert files(plane.folder) == before
    assert plane.send("GET", versioned(site.other)).status == 200
