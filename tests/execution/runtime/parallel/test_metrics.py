from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lazward.execution.runtime.parallel.metrics import Metrics, endpoint


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append((self.path, self.headers["Authorization"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    got: list = []
    made = HTTPServer(("127.0.0.1", 0), Handler)
    made.got = got  # type: ignore[attr-defined]
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def variables(server, **members) -> dict[str, str]:
    return {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server.server_port}/mlflow/v1.0/ws/", "MLFLOW_RUN_ID": "run1", "MLFLOW_TRACKING_TOKEN": "t", **members}


def test_the_last_values_are_there_when_it_is_closed(server):
    metrics = Metrics("my ", variables(server))
    for i in range(100):
        metrics.tell({"Processed MiniBatches": i})
    metrics.close()
    path, token, body = server.got[-1]
    assert (path, token, body["run_id"]) == ("/mlflow/v1.0/ws/api/2.0/mlflow/runs/log-batch", "Bearer t", "run1")
    assert [(m["key"], m["value"]) for m in body["metrics"]] == [("my Processed MiniBatches", 99)]


def test_a_server_that_is_away_is_told_and_nothing_else(server, capsys):
    gone = variables(server)
    server.shutdown()
    server.server_close()
    metrics = Metrics("", gone)
    metrics.tell({"a": 1})
    metrics.close()
    assert "could not be logged as metrics" in capsys.readouterr().out


@pytest.mark.parametrize(("uri", "url"), [
    ("azureml://localhost:8443/mlflow/v1.0/subscriptions/s", "https://localhost:8443/mlflow/v1.0/subscriptions/s/api/2.0/mlflow/runs/log-batch"),
    ("https://h/p/", "https://h/p/api/2.0/mlflow/runs/log-batch"),
    ("file:///tmp/x", None), ("", None), ("databricks", None),
])
def test_where_to(uri, url):
    assert endpoint({"MLFLOW_TRACKING_URI": uri, "MLFLOW_RUN_ID": "r"}) == url


def test_outside_of_a_run_nothing_is_sent():
    assert endpoint({"MLFLOW_TRACKING_URI": "https://h/p"}) is None
    Metrics("", {}).close()
