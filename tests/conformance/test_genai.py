"""MLflow's own client over TLS, as released: prompts, evaluation datasets, scorers, reviews, webhooks, and the registry's newer calls."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from pathlib import Path

import msgspec
import pytest

from tests.apps.tracking_app import PLAIN
from tests.conformance.client_environments import NEWEST_MLFLOW, python_with
from tests.conformance.tracking_server import TOKEN, serve
from tests.receiver import listen


@pytest.mark.parametrize("address", [PLAIN, "/mlflow/workspaces/ws"])
def test_everything(tmp_path: Path, address: str):
    receiver, httpd = listen()
    try:
        with serve(tmp_path) as server:
            server.services.settings = msgspec.structs.replace(server.services.settings, outbound_allow_http=True, outbound_allow_private=True)
            env = server.environment(
                MLFLOW_TRACKING_URI=f"{server.services.base_url}{address}", MLFLOW_TRACKING_TOKEN=TOKEN, RECEIVER=f"http://localhost:{receiver.port}/hook",
            )
            server.run("genai_store_client.py", env=env, python=python_with(*NEWEST_MLFLOW))
    finally:
        httpd.shutdown()
        httpd.server_close()
    (method, path, headers, body), = receiver.seen
    assert (method, path, json.loads(body)["entity"]) == ("POST", "/hook", "registered_model")
    signed = f"{headers['x-mlflow-delivery-id']}.{headers['x-mlflow-timestamp']}.".encode() + body
    assert headers["x-mlflow-signature"] == "v1," + b64encode(hmac.new(b"shared", signed, hashlib.sha256).digest()).decode()
