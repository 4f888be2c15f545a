from __future__ import annotations

import re

import pytest

from lazward.apps.mlflow.calls import BY_PATH, RPC
from lazward_mlflow import calls
from lazward_mlflow.calls import HELD, KEPT, ONCE, READ, address, kind_of, name_of, split

# What makes something that cannot be made twice, or takes something away: it waits for the server.
WAITS = {
    "experiments/update", "experiments/delete", "experiments/restore", "experiments/delete-experiment-tag", "runs/delete", "runs/restore", "runs/heartbeat",
    "artifacts/presigned-upload-url", "lazward/trash/restore", "lazward/trash/empty",
}
# Made by people and by evaluations, not by training; each asks for what the call before it made.
WAIT = ("registered-models/", "model-versions/", "datasets/", "scorers/", "issues", "label-schemas/", "review-queues/", "webhooks", "mcp-servers")


class TestKind:
    @pytest.mark.parametrize(("method", "name"), RPC)
    def test_of_every_call_that_our_server_takes(self, method, name):
        right = RPC[method, name].right
        reads = isinstance(right, str) and right.endswith("/read")
        assert kind_of(method, name) == (READ if reads else HELD if name in WAITS or name.startswith(WAIT) else KEPT), name

    @pytest.mark.parametrize(("method", "pattern", "right"), [(m, p.pattern, rpc.right) for m, p, rpc in BY_PATH])
    def test_of_those_with_an_id_in_their_path(self, method, pattern, right):
        name = re.sub(r"\(\?P<\w+>[^)]*\)", "x", pattern)
        reads = right.endswith("/read")
        assert kind_of(method, name) == (READ if reads else HELD if method == "DELETE" or "delete" in name or name.startswith(WAIT) else KEPT)

    def test_of_files_traces_and_spans(self):
        assert kind_of("PUT", "files/artifacts/r/artifacts/a/b.txt") == KEPT
        assert kind_of("GET", "files/artifacts/r/artifacts/a/b.txt") == READ
        assert kind_of("DELETE", "files/artifacts/r/artifacts/a") == HELD
        assert kind_of("POST", "files/mpu/create/r/artifacts") == ONCE
        assert kind_of("POST", "traces") == kind_of("POST", "traces/tr-1/assessments") == kind_of("PATCH", "traces/tr-1/tags") == KEPT
        assert kind_of("POST", "traces/search") == READ
        assert kind_of("POST", "traces/delete-traces") == HELD
        assert kind_of("POST", name_of("/v1/traces")) == KEPT


class TestSplit:
    BASE = "https://h:8443/mlflow/v2.0/subscriptions/s/resourceGroups/g/providers/P/workspaces/w"

    @pytest.mark.parametrize("path", ["/api/2.0/mlflow/runs/create", "/api/3.0/mlflow/traces", "/api/2.0/preview/mlflow/runs/log-batch-async", "/api/2.0/mlflow-artifacts/artifacts/r/artifacts/api/2.0/mlflow/x", "/v1/traces"])
    def test_server_and_path(self, path):
        assert split(self.BASE + path) == (self.BASE, path)
        assert split("http://127.0.0.1:5000" + path) == ("http://127.0.0.1:5000", path)

    @pytest.mark.parametrize("url", ["https://h/health", "https://h/api/2.0/preview/x", "https://h/api/2.0/other/mlflow/x", "databricks://x", ""])
    def test_others_are_none_of_ours(self, url):
        assert split(url) is None

    def test_address(self):
        assert address("azureml://h:8443/mlflow/v1.0/subscriptions/s/resourceGroups/g/providers/P/workspaces/w?x=1") == self.BASE
        assert address("https://h:8443/mlflow/workspaces/w/") == "https://h:8443/mlflow/workspaces/w"


def test_ids_are_ones_that_our_server_takes():
    from lazward.domain.tracking.names import check_own_id

    for name, kind in (("runs/create", "run"), ("experiments/create", "experiment"), ("logged-models", "model")):
        own = calls.own_id(name, {})
        assert own and check_own_id(own, kind) == own
        assert calls.own_id(name, {}) != own
    assert calls.own_id("runs/log-metric", {}) is None
