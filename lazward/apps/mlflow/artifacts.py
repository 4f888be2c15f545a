"""MLflow's artifact calls: listing, and the proxied store behind mlflow-artifacts: URIs (streamed, so that size does not matter)."""

from __future__ import annotations

import base64
import re
import secrets

from starlette.responses import Response, StreamingResponse

from lazward.apps.chain import json_response
from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json
from lazward.apps.run_artifacts import LINK_SECONDS, Entry, Root, RunArtifacts
from lazward.contract.mlflow import invalid, missing
from lazward.domain.tracking import names
from lazward.domain.tracking.paths import below
from lazward.storage import logged_models, run_search

MAX_PARTS = 10_000
# An artifact may be any HTML; on the server's own origin it must stay a download (S11).
SAFE = {"content-security-policy": "sandbox; default-src 'none'", "x-content-type-options": "nosniff"}


def _store(call: Call) -> RunArtifacts:
    return RunArtifacts(call.ctx.services)


def _file(entry: Entry, path: str) -> Json:
    return {"path": path, "is_dir": entry.is_dir} | ({} if entry.is_dir else {"file_size": entry.size})


# ---- mlflow/artifacts, mlflow/logged-models/{id}/artifacts ----------------------------------------------------------------


async def list_of_run(call: Call) -> Json:
    run_id, path = call.run_id(), call.text("path")
    full = await call.read(run_search.one, run_id)
    root = await _store(call).root(call.key, run_id)
    found = await _store(call).list(root, path)
    return {"root_uri": shapes.artifact_uri(call, run_id, full.experiment), "files": [_file(e, e.path) for e in found]}


async def list_of_model(call: Call) -> Json:
    model_id = call.path["model_id"]
    full = await call.read(logged_models.one, model_id)
    root = await _store(call).root(call.key, model_id)
    found = await _store(call).list(root, call.text("artifact_directory_path"))
    return {"root_uri": shapes.model_uri(call, full), "files": [_file(e, e.path) for e in found]}


async def presigned_upload(call: Call) -> Json:
    run_id, model_id = call.text("run_id"), call.text("model_id")
    if bool(run_id) == bool(model_id):
        raise invalid("Exactly one of run_id and model_id must be provided.", "run_id")
    root = await _store(call).root(call.key, run_id or model_id)
    return {"presigned_url": await _store(call).writable_link(root, call.required("path")), "headers": {"x-ms-blob-type": "BlockBlob"}}


async def presigned_download(call: Call) -> Json:
    path = call.required("path")
    expiration = call.integer("expiration", LINK_SECONDS) or 0
    if not 1 <= expiration <= 604_800:
        raise invalid(f"expiration must be between 1 and 604800 seconds (got {expiration}).", "expiration")
    root = await _store(call).root(call.key, call.run_id())
    info = await _store(call).find(root, path)
    return {"presigned_url": _store(call).link(root, path, "r"), "headers": {}, "file_size": info.size}


# ---- mlflow-artifacts/... -------------------------------------------------------------------------------------------------


async def _target(call: Call, full: str) -> tuple[Root, str]:
    """ROOT/artifacts[/PATH] as the root it names and the path in it."""
    name, _, rest = full.partition("/")
    folder, _, path = rest.partition("/")
    if not name or folder != "artifacts":
        raise missing(f"'{full[:200]}' is not in the artifacts of a run or model: a path is RUN_ID/artifacts/...")
    if path:
        below("x", path.rstrip("/"))  # a bad path is told apart from an unknown run
    return await _store(call).root(call.key, name), path


async def download(call: Call) -> Response:
    root, path = await _target(call, call.path["path"])
    info = await _store(call).find(root, path)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", path.rsplit("/", 1)[-1])
    headers = {**SAFE, "content-length": str(info.size), "content-disposition": f'attachment; filename="{name}"'}
    if call.ctx.request.method == "HEAD":
        return Response(headers=headers, media_type="application/octet-stream")
    return StreamingResponse(_store(call).read(root, path), headers=headers, media_type="application/octet-stream")


async def upload(call: Call) -> Response:
    root, path = await _target(call, call.path["path"])
    if not path:
        raise invalid("The path of an artifact is missing.", "path")
    await _store(call).put(root, path, call.ctx.stream(), call.ctx.request.headers.get("content-type"))
    return json_response({})


async def delete(call: Call) -> Response:
    root, path = await _target(call, call.path["path"])
    await _store(call).delete(root, path)
    return json_response({})


async def list_proxied(call: Call) -> Response:
    """Names, not paths, as MLflow's server answers here."""
    root, path = await _target(call, call.text("path"))
    found = await _store(call).list(root, path)
    return json_response({"files": [_file(e, e.path.rsplit("/", 1)[-1]) for e in found]})


async def presigned(call: Call) -> Response:
    root, path = await _target(call, call.path["path"])
    info = await _store(call).find(root, path)
    return json_response({"url": _store(call).link(root, path, "r"), "headers": {}, "file_size": info.size})


def _block(upload_id: str, part: int) -> str:
    return base64.b64encode(f"{upload_id}-{part:05d}".encode()).decode()


async def _multipart(call: Call) -> tuple[Root, str, Json]:
    """Folder in the URL, the client's own file name in the body: only its last piece counts."""
    root, folder = await _target(call, call.path["path"])
    body = call.args
    name = re.split(r"[/\\]", call.required("path"))[-1]
    return root, f"{folder}/{name}" if folder else name, body


async def multipart_create(call: Call) -> Response:
    root, path, _ = await _multipart(call)
    parts = call.limit(1, MAX_PARTS, "num_parts")
    upload_id = secrets.token_hex(16)
    credentials = []
    for part in range(1, parts + 1):
        block = base64.b64encode(f"{upload_id}-{part:05d}".encode()).decode().replace("=", "%3D").replace("+", "%2B").replace("/", "%2F")
        url = await _store(call).writable_link(root, path, f"comp=block&blockid={block}")
        credentials.append({"url": url, "part_number": part, "headers": {}})
    return json_response({"upload_id": upload_id, "credentials": credentials})


async def multipart_complete(call: Call) -> Response:
    root, path, _ = await _multipart(call)
    upload_id = call.required("upload_id")
    if not re.fullmatch(r"[0-9a-f]{32}", upload_id):
        raise invalid("upload_id is not one this server gave out.", "upload_id")
    parts = call.items("parts")
    if not 1 <= len(parts) <= MAX_PARTS or not all(isinstance(p, dict) for p in parts):
        raise invalid(f"parts is a list of 1 to {MAX_PARTS} parts.", "parts")
    numbers = sorted(names.integer(p.get("part_number"), "parts.part_number") for p in parts)
    await _store(call).commit(root, path, [_block(upload_id, n) for n in numbers])
    return json_response({})


async def multipart_abort(call: Call) -> Response:
    """Blocks that are never committed go by themselves after a while."""
    await _multipart(call)
    return json_response({})
