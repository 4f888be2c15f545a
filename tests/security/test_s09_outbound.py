"""S9: addresses that users name lead nowhere private. What is refused by address, name, redirect or rebinding: tests/execution/test_outbound.py
and tests/domain/test_addresses.py; deliveries of webhooks: tests/orchestration/test_webhooks.py. Here: the doors through which such addresses
come in, on a control plane as built for production."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

import lazward
from lazward.contract.errors import ArmError
from lazward.domain.settings import Settings
from lazward.orchestration.job_prepare import _download
from tests.receiver import Receiver
from tests.security.site import Site

PRIVATE = [
    "https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://169.254.169.254/latest/meta-data/", "https://168.63.129.16/", "https://10.0.0.1/", "https://[::ffff:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/", "https://0/", "https://127.1/", "https://0x7f000001/", "http://8.8.8.8/", "file:///etc/passwd", "gopher://8.8.8.8/",
]


def runtime(**settings: bool) -> SimpleNamespace:
    return SimpleNamespace(settings=Settings(data_dir="/nowhere", **settings))


@pytest.mark.parametrize("url", PRIVATE)
def test_s9_webhooks(site: Site, url: str):
    base, token = f"/mlflow/plain{site.own}/api/2.0/mlflow/webhooks", site.token("boss")
    answer = site.plane.send("POST", base, {"name": "w", "url": url, "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}]}, token=token)
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_s9_a_webhook_that_does_not_say_so_of_other_machines(site: Site):
    """Its owner learns why, not what is there."""
    answer = site.plane.send("POST", f"/mlflow/plain{site.own}/api/2.0/mlflow/webhooks", {
        "name": "w", "url": f"https://localhost:{site.plane.chain.services.settings.port}/healthz", "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
    }, token=site.token("boss"))
    assert "not a public address" in answer.json["message"]


@pytest.mark.parametrize("url", [url for url in PRIVATE if url.startswith("http")])
async def test_s9_inputs_of_jobs(url: str, tmp_path: Path):
    with pytest.raises(ArmError) as caught:
        await _download(runtime(), url, tmp_path / "in", "uri_file", "inputs.data", lambda said: None)
    assert (caught.value.code, caught.value.target) == ("AddressRefused", "inputs.data")


async def test_s9_an_input_behind_a_redirect_to_a_private_place(receiver: Receiver, tmp_path: Path):
    base = f"http://localhost:{receiver.port}"
    receiver.answers["/data.csv?sig=x"] = (200, {}, b"a,b\n")
    receiver.answers["/away"] = (302, {"location": "ftp://localhost/data.csv"}, b"")
    allowed = runtime(outbound_allow_http=True, outbound_allow_private=True)
    path = await _download(allowed, f"{base}/data.csv?sig=x", tmp_path / "one", "uri_file", "inputs.data", lambda said: None)
    assert (path.name, path.read_bytes(), path.stat().st_mode & 0o222) == ("data.csv", b"a,b\n", 0)
    with pytest.raises(ArmError) as caught:
        await _download(allowed, f"{base}/away", tmp_path / "two", "uri_file", "inputs.data", lambda said: None)
    assert caught.value.code == "AddressRefused"
    with pytest.raises(ArmError) as caught:
        await _download(allowed, "http://localhost:1/x", tmp_path / "three", "uri_file", "inputs.data", lambda said: None)
    assert caught.value.code == "DownloadFailed"
    with pytest.raises(ArmError) as caught:
        await _download(runtime(outbound_allow_http=True), f"{base}/data.csv", tmp_path / "four", "uri_file", "inputs.data", lambda said: None)
    assert caught.value.code == "AddressRefused"


def test_s9_there_is_one_outbound_client():
    """Whatever makes requests is named here: what users name is called by execution/outbound.py, the rest calls our own processes."""
    known = {"httpx2", "httpx", "requests", "aiohttp", "urllib.request", "http.client"}
    root = Path(lazward.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if known & set(names):
                found.add(path.relative_to(root).as_posix())
    assert "execution/outbound.py" in found
    assert found - {"execution/outbound.py"} <= OWN, found - OWN


# The gateway's own administration, the command line's own server, and a job's tracking server (in the job's process).
# cli/moving/mlflow_http.py is the person's own command, which reads the MLflow server that they name, with what they may reach.
OWN = {"apps/serving/gateway.py", "cli/client.py", "cli/moving/mlflow_http.py", "execution/runtime/parallel/metrics.py"}
