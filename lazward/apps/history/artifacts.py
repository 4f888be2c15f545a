"""Run history's artifact routes: the azureml plugin asks here where to put and find files, then talks to the blob store by link."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from lazward.apps.chain import Context, json_response
from lazward.apps.history.scope import workspace_of
from lazward.apps.run_artifacts import Root, RunArtifacts
from lazward.contract.errors import ArmError, bad_request

MAX_PATHS = 5000
PAGE = 1000
Json = dict[str, Any]


class Place:
    """The root of one request, and how its parts are named in answers: origin/container/path."""

    def __init__(self, root: Root, origin: str, container: str):
        self.root, self.origin, self.container = root, origin, container

    def artifact(self, path: str) -> Json:
        return {
            "artifactId": f"{self.origin}/{self.container}/{path}", "origin": self.origin, "container": self.container, "path": path, "etag": None,
            "createdTime": None, "dataPath": None, "tags": {},
        }

    def content(self, path: str, uri: str) -> Json:
        return {"contentUri": uri, "origin": self.origin, "container": self.container, "path": path, "tags": {}}


async def _place(ctx: Context) -> tuple[RunArtifacts, Place]:
    store, run = RunArtifacts(ctx.services), ctx.params.get("run")
    if run is not None:
        return store, Place(await store.root(workspace_of(ctx).key, run), "ExperimentRun", f"dcid.{run}")
    origin, container = ctx.params["origin"], ctx.params["container"]
    if origin == "ExperimentRun" and container.startswith("dcid."):
        return store, Place(await store.root(workspace_of(ctx).key, container[5:]), origin, container)
    if origin != "LocalUpload":
        raise ArmError(404, "ResourceNotFound", f"There are no artifacts of origin '{origin[:60]}'.", "origin")
    return store, Place(await store.upload_root(workspace_of(ctx).key, container), origin, container)


async def create_empty(ctx: Context) -> Response:
    """POST batch/metadata: a link to write for each path; a path that cannot be is told apart, the others get theirs."""
    body = await ctx.json()
    paths = body.get("paths") if isinstance(body, dict) else None
    if not isinstance(paths, list) or len(paths) > MAX_PATHS:
        raise bad_request(f"'paths' is a list of at most {MAX_PATHS} paths.", "paths")
    store, place = await _place(ctx)
    artifacts: Json = {}
    contents: Json = {}
    errors: Json = {}
    for item in paths:
        path = item.get("path") if isinstance(item, dict) else None
        if not isinstance(path, str) or not path:
            raise bad_request("Each of 'paths' has a 'path'.", "paths")
        try:
            contents[path] = place.content(path, await store.writable_link(place.root, path))
            artifacts[path] = place.artifact(path)
        except ArmError as error:
            errors[path] = {"error": {"code": "UserError", "message": error.message, "target": "path", "details": []}}
    return json_response({"artifacts": artifacts, "artifactContentInformation": contents, "errors": errors})


async def list_all(ctx: Context) -> Response:
    return await _listed(ctx, "", lambda store, place, path: place.artifact(path))


async def list_path(ctx: Context) -> Response:
    return await _listed(ctx, ctx.query.get("path") or "", lambda store, place, path: place.artifact(path))


async def list_contents(ctx: Context) -> Response:
    """A link to read for every file at or below a path."""
    return await _listed(ctx, ctx.query.get("path") or "", lambda store, place, path: place.content(path, store.link(place.root, path, "r")))


async def _listed(ctx: Context, path: str, shown: Any) -> Response:
    store, place = await _place(ctx)
    entries, more = await store.files(place.root, path, ctx.query.get("continuationToken") or "", PAGE)
    value = [shown(store, place, entry.path) for entry in entries]
    following = None
    if more:
        given = "".join(f"{name}={quote(text)}&" for name, text in ctx.query.multi_items() if name != "continuationToken")
        following = f"{ctx.services.base_url}{quote(ctx.request.scope['path'])}?{given}continuationToken={quote(more)}"
    return json_response({"value": value, "continuationToken": more or None, "nextLink": following})


async def metadata(ctx: Context) -> Response:
    path = _path(ctx)
    store, place = await _place(ctx)
    await store.find(place.root, path)
    return json_response(place.artifact(path))


async def content(ctx: Context) -> Response:
    path = _path(ctx)
    store, place = await _place(ctx)
    await store.find(place.root, path)
    return json_response(place.content(path, store.link(place.root, path, "r")))


async def artifact_uri(ctx: Context) -> Response:
    path = _path(ctx)
    store, place = await _place(ctx)
    await store.find(place.root, path)
    return json_response(store.link(place.root, path, "r"))


def _path(ctx: Context) -> str:
    path = ctx.query.get("path")
    if not path:
        raise bad_request("The query parameter 'path' is required.", "path")
    return path
