"""From the source a client registers a model from to the URI of ARM's document; what leads out of the workspace is refused (S2)."""

from __future__ import annotations

import re
from typing import NamedTuple

from lazward.apps.mlflow.call import Call
from lazward.apps.registry_access import check_registries
from lazward.apps.run_artifacts import Root, RunArtifacts
from lazward.contract.mlflow import invalid
from lazward.domain.tracking.paths import CONTAINER, below
from lazward.domain.tracking.registered import LOGGED_MODEL, RUN
from lazward.domain.uris import parse_uri

_PROXIED = re.compile(r"mlflow-artifacts:/{1,3}(?P<root>[^/?#]+)/artifacts(?:/(?P<path>[^?#]+))?")
_RUNS = re.compile(r"runs:/+(?P<root>[^/?#]+)(?:/(?P<path>[^?#]+))?")
_MODEL = re.compile(r"models:/+(?P<root>m-[0-9a-f]{32})(?:/(?P<path>[^?#]+))?")
_VERSION = re.compile(r"models:/+(?P<name>[^/?#@:]+)/(?P<version>[^/?#]+)")
_PLUGIN = re.compile(r"azureml://[^/]*(?P<workspace>/subscriptions/.+/workspaces/[^/]+)/experiments/[^/]+/runs/(?P<root>[^/?#]+)/artifacts(?:/(?P<path>[^?#]+))?", re.IGNORECASE)
_UPLOADED = re.compile(r"azureml://artifacts/(?P<path>LocalUpload/[^/?#]+/[^?#]+)")


class Origin(NamedTuple):
    """What a source is: ARM's modelUri; the run and the logged model it came from, or ""."""

    uri: str
    run: str = ""
    model: str = ""


async def artifact_source(call: Call, source: str) -> Origin:
    """INVALID_PARAMETER_VALUE for what is no place a model can be read from."""
    if len(source) > 4096 or "\\" in source:
        raise _refused(source)
    store = RunArtifacts(call.ctx.services)
    if match := _PLUGIN.fullmatch(source):
        if match["workspace"].lower() != call.key:
            raise invalid(f"Invalid model version source: '{source[:300]}' lies in another workspace.", "source")
        return await _in_root(call, store, match["root"], match["path"])
    for form in (_PROXIED, _RUNS, _MODEL):
        if match := form.fullmatch(source):
            return await _in_root(call, store, match["root"], match["path"])
    if match := _VERSION.fullmatch(source):
        found = await call.ctx.services.models.version(call.key, match["name"], match["version"])
        origin = await _in_root(call, store, f"{match['name']}:{match['version']}", "")
        return Origin(origin.uri, found.properties.get(RUN) or found.job_name, found.properties.get(LOGGED_MODEL, "")) if found else origin
    if match := _UPLOADED.fullmatch(source):
        return Origin(_readable(call, Root("", CONTAINER, "LocalUpload"), match["path"].removeprefix("LocalUpload/")))
    if source.partition(":")[0].lower() in (source.lower(), "", "file", "ftp", "mlflow-artifacts", "models", "runs", "dbfs"):
        raise _refused(source)
    parse_uri(source, "source", "models")
    await check_registries(call.ctx, source)
    return Origin(source)


async def _in_root(call: Call, store: RunArtifacts, root: str, path: str | None) -> Origin:
    found = await store.root(call.key, root)
    uri = _readable(call, found, (path or "").rstrip("/"))
    return Origin(uri, model=root) if re.fullmatch(r"m-[0-9a-f]{32}", root) else Origin(uri, run="" if ":" in root else root)


def _readable(call: Call, root: Root, path: str) -> str:
    """The long form, which the SDK prints and reads."""
    w = call.workspace
    if root.container != CONTAINER:
        raise invalid("The files of that model are not in the workspace's artifact store; register it from where they are.", "source")
    folder = below(root.prefix, path, "source")
    return f"azureml://subscriptions/{w.subscription}/resourcegroups/{w.group}/workspaces/{w.name}/datastores/workspaceartifactstore/paths/{folder}"


def _refused(source: str) -> Exception:
    return invalid(
        f"Invalid model version source: '{source[:300]}'. Models are registered from a run (runs:/ID/path), a logged model (models:/m-...), "
        "a data uri of the workspace (azureml://...) or object storage, never from files of the server.", "source",
    )
