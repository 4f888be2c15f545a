"""Managed online endpoints of the examples: a scoring script, and an MLflow model without code."""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
import uuid

import pytest
from azure.ai.ml import load_online_deployment, load_online_endpoint

ONLINE = "cli/endpoints/online"


def deploy(client, endpoint_file, deployment_file):
    """As the shell scripts do: create the endpoint, create the deployment, give it all traffic."""
    name = f"endpt-{uuid.uuid4().hex[:8]}"
    client.online_endpoints.begin_create_or_update(load_online_endpoint(endpoint_file, params_override=[{"name": name}])).result()
    deployment = load_online_deployment(deployment_file, params_override=[{"endpoint_name": name}])
    client.online_deployments.begin_create_or_update(deployment).result()
    endpoint = client.online_endpoints.get(name)
    endpoint.traffic = {deployment.name: 100}
    client.online_endpoints.begin_create_or_update(endpoint).result()
    assert client.online_endpoints.get(name).provisioning_state == "Succeeded"
    assert client.online_deployments.get(deployment.name, name).provisioning_state == "Succeeded"
    return name, deployment.name


def curl(client, endpoint, request_file) -> object:
    uri = client.online_endpoints.get(endpoint).scoring_uri
    key = client.online_endpoints.get_keys(endpoint).primary_key
    request = urllib.request.Request(uri, request_file.read_bytes(), {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])) as answer:
        return json.loads(answer.read())


def test_l3_063_scoring_script(client, examples):
    folder = examples / ONLINE
    name, deployment = deploy(client, folder / "managed/sample/endpoint.yml", folder / "managed/sample/blue-deployment.yml")
    expected = pytest.approx([11055.977245525679, 4503.079536107787])
    assert json.loads(client.online_endpoints.invoke(name, request_file=str(folder / "model-1/sample-request.json"))) == expected
    assert curl(client, name, folder / "model-1/sample-request.json") == expected
    assert "request received" in client.online_deployments.get_logs(deployment, name, lines=100)
    client.online_endpoints.begin_delete(name).result()
    assert name not in {e.name for e in client.online_endpoints.list()}


def test_l3_064_mlflow_model_without_code(client, examples):
    folder = examples / ONLINE / "ncd"
    name, _ = deploy(client, folder / "create-endpoint.yaml", folder / "sklearn-deployment.yaml")
    answer = json.loads(client.online_endpoints.invoke(name, request_file=str(folder / "sample-request-sklearn.json")))
    assert answer == pytest.approx([11633.10016714, 8522.11740289])
    client.online_endpoints.begin_delete(name).result()
