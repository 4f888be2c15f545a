"""A fresh server on a fresh data dir, an MLClient made as the documentation makes it, and a mirror of what examples fetch."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

PARTS = (  # of a checkout, what the tests use
    "cli/jobs/basics", "cli/jobs/single-step", "cli/jobs/pipelines-with-components", "cli/jobs/parallel", "cli/schedules", "cli/assets", "cli/endpoints/online",
    "cli/resources/compute", "cli/jobs/pipelines/add-column-and-word-count-using-spark/data", "sdk/python/assets", "sdk/python/schedules", "sdk/python/jobs/pipelines",
    "sdk/python/jobs/single-step/lightgbm", "sdk/python/using-mlflow", "tutorials/get-started-notebooks",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--examples", default=os.environ.get("LAZWARD_TEST_EXAMPLES"), help="a checkout of Azure/azureml-examples")


@pytest.fixture(scope="session")
def examples(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private copy of the examples' folders in use: the SDK writes beside files it uploads."""
    given = request.config.getoption("--examples")
    if not given:
        pytest.skip("no checkout of Azure/azureml-examples given (--examples PATH)")
    root = Path(given)
    if not (root / "cli" / "jobs").is_dir():
        pytest.fail(f"{root} is no checkout of Azure/azureml-examples: it has no cli/jobs")
    copy = tmp_path_factory.mktemp("examples")
    for part in PARTS:
        shutil.copytree(root / part, copy / part)
    return copy


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """`lazward up` on free ports; yields what `lazward env` exports, which is also set in this process."""
    data = tmp_path_factory.mktemp("data") / "lazward"
    lazward = (sys.executable, "-m", "lazward.cli.main")
    here = {"LAZWARD_OUTBOUND_ALLOW_HTTP": "true", "LAZWARD_OUTBOUND_ALLOW_PRIVATE": "true"}  # `mirror` below is at a loopback address
    subprocess.run([*lazward, "up", "--data-dir", str(data), "--port", "0", "--gateway-port", "0", "--detach"], check=True, env={**os.environ, **here})
    try:
        exported = json.loads(subprocess.run([*lazward, "env", "--data-dir", str(data), "--json"], check=True, capture_output=True).stdout)
        variables = exported["set"]
        saved = dict(os.environ)
        for name in exported["unset"]:
            os.environ.pop(name, None)
        os.environ.update(variables)
        yield {**variables, "DATA_DIR": str(data)}
        os.environ.clear()
        os.environ.update(saved)
    finally:
        subprocess.run([*lazward, "down", "--data-dir", str(data)], check=True)


@pytest.fixture(scope="session")
def client(server: dict[str, str]):
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import AmlCompute
    from azure.identity import DefaultAzureCredential

    made = MLClient(DefaultAzureCredential(), server["LAZWARD_SUBSCRIPTION_ID"], server["LAZWARD_RESOURCE_GROUP"], server["LAZWARD_WORKSPACE"])
    made.compute.begin_create_or_update(AmlCompute(name="cpu-cluster", size="STANDARD_DS3_v2", max_instances=4)).result()
    return made


@pytest.fixture(scope="session")
def mirror(examples: Path) -> Iterator[str]:
    """http://127.0.0.1:PORT, where iris.csv is what the examples expect at their public address."""
    folder = examples / "cli/jobs/pipelines/add-column-and-word-count-using-spark/data"
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
