"""MLflow's calls as they look on the wire: to which server, which call, and what may be done with it when the server is away."""

from __future__ import annotations

import re
import uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_API = re.compile(r"(https?://.+?)(/(?:ajax-)?api/[1-9]\.0/(?:preview/)?mlflow(?:-artifacts)?/.*|/v1/traces)")
_CALL = re.compile(r"/(?:ajax-)?api/[1-9]\.0/(?:preview/)?(mlflow(?:-artifacts)?)/([^?]*)")
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"

# held: it waits for the server, for what it makes cannot be made twice. once: there is another way, and the caller takes it (uploads in parts)
READ, KEPT, HELD, ONCE = "read", "kept", "held", "once"

_SEARCHES = frozenset({
    "runs/search", "experiments/search", "experiments/search-datasets", "logged-models/search", "traces/search", "registered-models/get-latest-versions",
    "datasets/search", "issues/search", "traces/metrics", "traces/batchGetInfos", "traces/calculate-filter-correlation", "artifacts/presigned-download-url",
})
_KEPT = frozenset({
    "experiments/create", "experiments/set-experiment-tag", "runs/create", "runs/update", "runs/log-metric", "runs/log-parameter", "runs/log-batch",
    "runs/log-batch-async", "runs/set-tag", "runs/delete-tag", "runs/log-inputs", "runs/outputs", "runs/log-model", "logged-models", "traces",
    "traces/link-to-run", "traces/link-prompts",
})
_KEPT_PATHS = re.compile(
    r"(?:POST|PATCH) (?:logged-models/[^/]+(?:/params|/tags)?|traces/[^/]+(?:/tags|/assessments|/assessments/[^/]+))|PATCH traces/[^/]+"
)
BATCHED = frozenset({"runs/log-metric", "runs/log-parameter", "runs/log-batch", "runs/log-batch-async", "runs/set-tag"})


def split(url: str) -> tuple[str, str] | None:
    """(server, path from /api on) of a call of MLflow's; None for any other address."""
    match = _API.fullmatch(url)
    return (match.group(1).rstrip("/"), match.group(2)) if match else None


def address(uri: str) -> str:
    """Where a tracking URI leads: azureml://HOST/mlflow/v1.0/subscriptions/... as the plugin says it over HTTPS, any other as it is."""
    if not uri.startswith("azureml://"):
        return uri.rstrip("/")
    host, _, rest = uri[len("azureml://"):].split("?")[0].partition("/")
    where = rest[rest.find("subscriptions/"):] if "subscriptions/" in rest else rest
    return f"https://{host}/mlflow/v2.0/{where.rstrip('/')}"


def name_of(path: str) -> str:
    """What MLflow calls it: "runs/create"; "artifacts/..." for files; "spans" for OpenTelemetry's."""
    match = _CALL.match(path)
    if not match:
        return "spans"
    return ("" if match.group(1) == "mlflow" else "files/") + match.group(2).strip("/")


def word_of(name: str) -> str:
    """The kind of call, for people."""
    return "files" if name.startswith("files/") else name.partition("/")[0] if name.startswith(("logged-models/", "traces/")) else name


def kind_of(method: str, name: str) -> str:
    if method in ("GET", "HEAD") or name in _SEARCHES:
        return READ
    if name.startswith("files/mpu/"):
        return ONCE
    if name == "spans" or (method == "PUT" and name.startswith("files/artifacts/")):
        return KEPT
    if method == "POST" and name in _KEPT:
        return KEPT
    if _KEPT_PATHS.fullmatch(f"{method} {name}"):
        return KEPT
    return HELD


def own_id(name: str, body: dict[str, Any]) -> str | None:
    """An id for what the call makes, chosen here so that it can be said twice; None for calls that make nothing of that kind, or name it
    themselves (MLflow 3's traces)."""
    if name == "runs/create":
        return uuid.uuid4().hex
    if name == "experiments/create":
        return str(uuid.uuid4())
    if name == "logged-models":
        return f"m-{uuid.uuid4().hex}"
    if name == "traces" and "trace" not in body:
        return f"tr-{uuid.uuid4().hex}"
    if name.startswith("traces/") and name.endswith("/assessments"):
        return f"a-{uuid.uuid4().hex}"
    return None


def with_id(name: str, body: dict[str, Any], own: str) -> dict[str, Any]:
    """The body with that id, in a member of ours (which MLflow's server ignores) or, of an assessment, where MLflow has one."""
    if name.endswith("/assessments"):
        return {**body, "assessment": {"assessment_id": own, **(body.get("assessment") or {})}}
    return {**body, "lazward_id": own}


def made_id(name: str, answer: dict[str, Any]) -> str | None:
    """The id of what the server has made, in its answer."""
    try:
        if name == "runs/create":
            return answer["run"]["info"]["run_id"]
        if name == "experiments/create":
            return answer["experiment_id"]
        if name == "logged-models":
            return answer["model"]["info"]["model_id"]
        if name.endswith("/assessments"):
            return answer["assessment"]["assessment_id"]
        if name == "traces" and "trace_info" in answer:
            return answer["trace_info"]["request_id"]
    except (KeyError, TypeError):
        pass
    return None
