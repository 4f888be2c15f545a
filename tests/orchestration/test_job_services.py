"""Services beside a running job, with stand-ins for TensorBoard and JupyterLab that listen where they are told and tell what they got."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import httpx2
import pytest

from lazward.orchestration.job_services import service_token
from tests.orchestration.place import HOME, MASTER_KEY, Place

STAND_IN = f"""#!{sys.executable}
import http.server, json, os, sys
port = next(int(word.rpartition("=")[2]) if "=" in word else int(sys.argv[i + 1]) for i, word in enumerate(sys.argv) if word.split("=")[0].endswith("port"))
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({{"argv": sys.argv[1:], "token": os.environ.get("JUPYTER_TOKEN", "")}}).encode())
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


@pytest.fixture
def offers(place: Place) -> Place:
    for name in ("tensorboard", "jupyter-lab"):
        program = place.environments.environment.bin / name
        program.write_text(STAND_IN)
        program.chmod(0o755)
    return place


async def services_of(place: Place, name: str) -> dict:
    """When each is more than asked for."""

    def settled():
        found = {k: v for k, v in place.facts(f"jobs/{name}")["services"].items() if k not in ("Tracking", "Studio")}
        return found if all(one.get("status") in ("Running", "Failed") for one in found.values()) else None

    return await place.until(settled, lambda: place.facts(f"jobs/{name}")["services"])


async def ask(url: str) -> dict:
    async with httpx2.AsyncClient() as client:
        return json.loads((await client.get(url)).content)


async def test_they_listen_on_loopback_while_the_job_runs_and_end_with_it(offers: Place, tmp_path: Path):
    key = offers.job("j", f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done", services={
        "board": {"jobServiceType": "TensorBoard", "properties": {"logDir": "outputs/tb"}}, "lab": {"jobServiceType": "JupyterLab"}, "editor": {"jobServiceType": "VSCode"},
    })
    await offers.start()
    found = await services_of(offers, "j")
    assert {one["status"] for one in found.values()} == {"Running"}
    assert found["board"]["endpoint"].startswith("http://127.0.0.1:") and found["lab"]["endpoint"].startswith("http://127.0.0.1:")
    assert found["editor"]["endpoint"].startswith("vscode://file/")
    board, lab = await ask(found["board"]["endpoint"]), await ask(found["lab"]["endpoint"])
    assert any(word.endswith("/code/outputs/tb") for word in board["argv"]) and "127.0.0.1" in board["argv"]
    token = service_token(MASTER_KEY, key, "lab")
    # The token opens a shell: it is in the server's environment alone, neither among arguments nor in what readers of the job see.
    assert lab["token"] == token and token not in " ".join(lab["argv"])
    assert token not in json.dumps(offers.facts("jobs/j")) and not board["token"]
    (tmp_path / "go").touch()
    assert (await offers.over("j"))["status"] == "Completed"
    with pytest.raises(httpx2.TransportError):
        await ask(found["lab"]["endpoint"])


async def test_another_worker_finds_them_running(offers: Place, tmp_path: Path):
    offers.job("j", f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done", services={"lab": {"jobServiceType": "JupyterLab"}})
    await offers.start()
    before = await services_of(offers, "j")
    await offers.stop()
    await offers.start()
    await asyncio.sleep(0)
    assert await services_of(offers, "j") == before
    assert (await ask(before["lab"]["endpoint"]))["token"]
    (tmp_path / "go").touch()
    await offers.over("j")


@pytest.mark.parametrize(("asked", "said"), [
    ({"jobServiceType": "Telnet"}, "'Telnet' are not offered"),
    ({"jobServiceType": "TensorBoard", "properties": {"logDir": "../../../etc"}}, "leads out of the job's folder"),
    ({"jobServiceType": "TensorBoard", "properties": {"logDir": "/etc"}}, "leads out of the job's folder"),
])
async def test_one_that_cannot_be_says_why_and_the_job_goes_on(offers: Place, tmp_path: Path, asked: dict, said: str):
    offers.job("j", f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done", services={"s": asked})
    await offers.start()
    found = (await services_of(offers, "j"))["s"]
    assert found["status"] == "Failed" and said in found["errorMessage"] and not found["endpoint"]
    (tmp_path / "go").touch()
    assert (await offers.over("j"))["status"] == "Completed"


async def test_one_that_ends_at_once_says_so(offers: Place, tmp_path: Path):
    (offers.environments.environment.bin / "tensorboard").write_text("#!/bin/sh\nexit 1\n")
    offers.job("j", f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done", services={"s": {"jobServiceType": "TensorBoard"}})
    await offers.start()
    found = (await services_of(offers, "j"))["s"]
    assert found["status"] == "Failed" and "ended at once" in found["errorMessage"]
    (tmp_path / "go").touch()
    await offers.over("j")


def test_tokens_are_of_one_service_of_one_job():
    tokens = {service_token(MASTER_KEY, f"{HOME}/jobs/{job}", name) for job in ("a", "b") for name in ("x", "y")} | {service_token(b"o" * 32, f"{HOME}/jobs/a", "x")}
    assert len(tokens) == 5
