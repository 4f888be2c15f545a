from __future__ import annotations

from lazward.apps.mlflow import coverage
from lazward.apps.mlflow.unbuilt import _UNBUILT


def test_the_status_is_what_the_tables_say():
    assert coverage.status("POST", "/api/3.0/mlflow/datasets/{dataset_id}/records") == "done"
    assert coverage.status("PUT", "/api/2.0/mlflow-artifacts/artifacts/{artifact_path}") == "done"
    assert coverage.status("PATCH", "/api/3.0/mlflow/datasets/{dataset_id}/records") == "404"
    assert coverage.status("GET", "/api/3.0/mlflow/gateway/endpoints/list").startswith("501: this server is no gateway")


def test_what_was_decided_not_to_be_built_is_not():
    """A reason that is no longer true is not left to stand."""
    unbuilt = [(verb, path) for verb, path in coverage.calls() if coverage.status(verb, path).startswith("501: ")]
    for pattern, reason in _UNBUILT[:3]:
        assert [path for _, path in unbuilt if pattern.fullmatch(path.rsplit("/mlflow/", 1)[-1].strip("/"))], reason


def test_every_call_has_a_word():
    assert [(verb, path) for verb, path in coverage.calls() if coverage.status(verb, path) == "404"] == []
