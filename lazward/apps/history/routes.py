"""Run history: /history/v1.0{workspace}/... and the artifact service's /artifact/v2.0{workspace}/... (wire contract 8.3 and 12.2)."""

from __future__ import annotations

from lazward.apps.chain import Handler, Route, action, by_handler
from lazward.apps.history import artifacts, runs
from lazward.apps.history.scope import HISTORY, WORKSPACE
from lazward.apps.services import Services
from lazward.contract.ids import ML

_BASE = "/history/v1.0" + WORKSPACE
_EXPERIMENT = "/{kind:experiments|experimentids}/{exp}"
_RUN = _EXPERIMENT + "/runs/{run}"
_UPLOAD = "/artifact/v2.0" + WORKSPACE + "/artifacts/{origin}/{container}"


def history_routes(services: Services) -> list[Route]:
    limit = services.settings.max_body_bytes

    def route(method: str, pattern: str, handler: Handler, right: str) -> Route:
        return Route((method,), pattern, handler, action(f"{ML}/workspaces/{right}", WORKSPACE), HISTORY, limit)

    read, write = "experiments/runs/read", "experiments/runs/write"
    files, upload = "metadata/artifacts/read", "metadata/artifacts/write"
    itself = by_handler("the caller's token was made for this very run")
    out = [
        route("GET", _BASE + "/runs/{run}", runs.get, read),
        route("GET", _BASE + "/runs/{run}/details", runs.details, read),
        route("GET", _BASE + "/runs/{run}/children", runs.children, read),
        route("GET", _BASE + "/runs/{run}/metrics", runs.run_metrics, read),
        # The tokens of a job's services let their holder act as the job: for those who may change it.
        route("GET", _BASE + "/runs/{run}/serviceinstances/{node}", runs.service_instances, "jobs/write"),
        route("POST", _BASE + "/rundata", runs.run_data, read),
        route("GET", _BASE + "/experiments", runs.list_experiments, "experiments/read"),
        route("GET", _BASE + _EXPERIMENT, runs.get_experiment, "experiments/read"),
        route("GET", _BASE + _RUN, runs.get, read),
        route("GET", _BASE + _RUN + "/details", runs.details, read),
        route("PATCH", _BASE + _RUN, runs.patch, write),
        Route(("GET", "POST"), _BASE + _RUN + "/token", runs.token, itself, HISTORY, limit),
    ]
    for base in (_BASE + _RUN + "/artifacts", _UPLOAD):
        out += [
            route("POST", base + "/batch/metadata", artifacts.create_empty, upload),
            route("GET", base, artifacts.list_all, files),
            route("GET", base + "/path", artifacts.list_path, files),
            route("GET", base + "/metadata", artifacts.metadata, files),
            route("GET", base + "/contentinfo", artifacts.content, files),
            route("GET", base + "/prefix/contentinfo", artifacts.list_contents, files),
            route("GET", base + "/artifacturi", artifacts.artifact_uri, files),
        ]
    return out
