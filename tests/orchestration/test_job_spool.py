"""What a job's processes leave in their spool is sent before the job is over, to this server alone."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from lazward.orchestration import job_spool
from lazward_mlflow.senders import Away, Forbidden
from tests.lazward_mlflow.standin import RUN, StandIn, error
from tests.orchestration.place import HOME

# What a process does that logs while the server is away, and is killed: it finds the package as MLflow would.
LEAVE = """
import json, os, sys
from lazward_mlflow import places
from lazward_mlflow.journal import Journal
base, records = sys.argv[1], json.loads(sys.argv[2])
place = places.make(os.environ["LAZWARD_SPOOL_DIR"], base)
journal = Journal(place.journal)
for record in records:
    journal.append(record)
os.mkdir(place.files)
open(os.path.join(place.files, "x"), "w").write("hello")
print(os.environ["LAZWARD_SPOOL"], os.environ["LAZWARD_SPOOL_EXIT_WAIT"])
for name, to in json.loads(sys.argv[3]).items():
    os.symlink(to, os.path.join(place.folder, name))
os.kill(os.getpid(), 9)
"""


def metric(key: str, value: float) -> dict:
    return {"m": "POST", "p": "/api/2.0/mlflow/runs/log-metric", "b": {"run_id": RUN, "key": key, "value": value, "step": 0, "timestamp": 1}}


def leaving(base: str, *records: dict, links: dict[str, str] | None = None) -> str:
    words = ["python", "-c", LEAVE, base, json.dumps(records), json.dumps(links or {})]
    return f"{shlex.join(words)} || true"


@pytest.fixture
def server(monkeypatch):
    """In place of HTTP to the control plane; `asked`: (address, authorization) of each sender."""
    made = StandIn()
    made.metrics[RUN] = []
    made.asked = []

    def sender(base, auth, environ, timeout):
        made.asked.append((base, auth(False)))
        return made

    monkeypatch.setattr(job_spool, "PlainSender", sender)
    monkeypatch.setattr(job_spool, "PAUSE_S", 0.01)
    return made


@pytest.fixture
def base(place) -> str:
    return f"{place.settings.base_url}/mlflow/v2.0{HOME}"


def clean(place) -> bool:
    return place.folders("jobs") == []


async def test_it_is_sent_with_the_jobs_own_token_and_then_the_job_is_over(place, server, base):
    place.job("a", leaving(base, metric("m", 1), metric("m", 2), {"m": "PUT", "p": "/api/2.0/mlflow-artifacts/artifacts/a/artifacts/t.txt", "f": "x", "z": 5}))
    await place.start()
    assert (await place.over("a"))["status"] == "Completed"
    assert (await place.log("a")).startswith("on 5\n")
    assert server.metrics[RUN] == [("m", 1, 0), ("m", 2, 0)] and server.files == {"a/artifacts/t.txt": b"hello"}
    assert server.asked == [(base, "Bearer token")]
    assert clean(place)


async def test_the_job_waits_for_a_server_that_is_away(place, server, base):
    server.fault = lambda name, body: error(503, "X")
    place.job("a", leaving(base, metric("m", 1)))
    await place.start()
    await place.until(lambda: len(server.asked) > 2)
    assert place.facts("jobs/a")["status"] == "Finalizing"
    await place.stop()  # another worker goes on
    server.fault = lambda name, body: None
    await place.start()
    assert (await place.over("a"))["status"] == "Completed"
    assert server.metrics[RUN] == [("m", 1, 0)]


async def test_what_is_refused_is_kept_in_the_jobs_logs(place, server, base):
    server.params[RUN, "p"] = "1"
    param = {"m": "POST", "p": "/api/2.0/mlflow/runs/log-parameter", "b": {"run_id": RUN, "key": "p", "value": "2"}}
    place.job("a", leaving(base, metric("m", 1), param))
    await place.start()
    assert (await place.over("a"))["status"] == "Completed"
    assert server.metrics[RUN] == [("m", 1, 0)]
    (name,) = await kept(place, "a", "rejected.jsonl")
    refused = json.loads(await place.log("a", name))
    assert (refused["status"], refused["call"]["b"]["value"]) == (400, "2")


async def kept(place, job: str, name: str) -> list[str]:
    prefix = f"ExperimentRun/dcid.{job}/"
    page = await place.blobs.list(place.account, "azureml", prefix=f"{prefix}logs/{job_spool.LEFT_IN}/")
    return [blob.name.removeprefix(prefix) for blob in page.blobs if blob.name.endswith(name)]


@pytest.mark.parametrize("problem", [Forbidden("it answers 403"), Away("connection refused")])
async def test_no_job_waits_for_ever_and_nothing_is_lost(place, server, base, monkeypatch, problem):
    monkeypatch.setattr(job_spool, "PATIENCE_S", 0.05)

    def fault(name, body):
        raise problem

    server.fault = fault
    place.job("a", leaving(base, metric("m", 1)))
    await place.start()
    assert (await place.over("a"))["status"] == "Completed"
    (name,) = await kept(place, "a", "journal")
    assert '"key":"m"' in await place.log("a", name)
    assert clean(place)


async def test_no_other_server_gets_the_token(place, server, base):
    """Where to is what the job wrote."""
    for n, elsewhere in enumerate(("https://evil.test/mlflow/v2.0/x", f"{place.settings.base_url}.evil.test/mlflow/x", f"{place.settings.base_url}@evil.test/mlflow/x")):
        place.job(f"a{n}", leaving(elsewhere, metric("m", 1)))
    await place.start()
    for n in range(3):
        assert (await place.over(f"a{n}"))["status"] == "Completed"
        assert len(await kept(place, f"a{n}", "journal")) == 1
    assert server.asked == [] and server.calls == []


async def test_nothing_outside_of_the_spool_is_read(place, server, base, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("secret!")
    up = {"m": "PUT", "p": "/api/2.0/mlflow-artifacts/artifacts/a/artifacts/t.txt", "f": f"../../../../../../../..{secret}", "z": 7}
    place.job("a", leaving(base, up))
    place.job("b", leaving(base, metric("m", 1), links={"more": str(secret)}))
    await place.start()
    for name in ("a", "b"):
        assert (await place.over(name))["status"] == "Completed"
    assert server.files == {} and server.metrics[RUN] == []
    (name,) = await kept(place, "a", "rejected.jsonl")
    assert "is gone" in await place.log("a", name)
