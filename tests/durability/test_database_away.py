"""The database goes away under load and comes back: jobs run on, scoring goes on, requests are told to come again, nothing is lost,
and no part of the server is started anew for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.server import Answer, Client, Server, until
from tests.durability.load import OVER, PATIENCE_S, Job, Jobs, Scorer, Writer, left_over
from tests.postgres import Postgres


@dataclass
class Place:
    """go: takes the database away. back: brings it back. readable: whether it can be read meanwhile."""

    server: Server
    url: str
    go: Callable[[], object]
    back: Callable[[], object]
    readable: bool


@pytest.fixture(params=["postgresql crashed", "sqlite locked"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "sqlite locked":
        with Server() as server:
            other = sqlite3.connect(server.data_dir / "lazward.db", isolation_level=None, timeout=60)
            yield Place(server, "", lambda: other.execute("begin exclusive"), lambda: other.execute("rollback"), True)
            other.close()
        return
    with Postgres() as postgres, Server(sets=(f"database_url={postgres.url}",)) as server:
        yield Place(server, postgres.url, lambda: postgres.stop("immediate"), postgres.start, False)
        postgres.start()  # nothing where it runs: the server has to end well, whatever the test did


def test_nothing_is_lost_and_nobody_is_started_anew(place: Place, tmp_path: Path):
    server, arm = place.server, place.server.client()
    jobs = Jobs(server, tmp_path / "witness")
    scorer, writer = Scorer(server), Writer(server)
    scorer.start()
    writer.start()
    batch = {"alone": Job("alone", "lines=30 pause=0.05"), "telling": Job("telling", "lines=40 pause=0.02 metrics=20"), "waiting": Job("big", "lines=5")}
    for name, job in batch.items():
        arm.patiently("PUT", server.path(f"jobs/away-{name}"), jobs.document("away", job))
    until(lambda: all(f"away-{name} began" in jobs.seen() for name in ("alone", "telling")), PATIENCE_S, what=server.logs)
    until(lambda: len(writer.acknowledged) > 10, PATIENCE_S)
    before = server.pids()

    place.go()
    scored = scorer.answers
    answer = until(lambda: said_to_come_again(arm, server), PATIENCE_S, what=server.logs)
    error = answer.json()["error"]
    assert (answer.headers["Retry-After"], error["code"]) == ("1", "ServiceUnavailable")
    assert "database" in error["message"]
    assert (arm.json_call("GET", server.path("jobs/away-alone")).status == 200) == place.readable
    until(lambda: "away-alone ended" in jobs.seen(), PATIENCE_S)  # it runs on, and ends, while nobody can write that down
    until(lambda: scorer.answers > scored + 10, PATIENCE_S)
    place.back()

    def facts(name: str) -> dict:
        return arm.patiently("GET", server.path(f"jobs/away-{name}")).json()["properties"]

    until(lambda: all(facts(name)["status"] in OVER for name in batch), PATIENCE_S, 0.1, lambda: server.logs(60))
    for name, job in batch.items():
        assert (facts(name)["status"], facts(name)["exit"]["code"]) == ("Completed", 0), server.logs(60)
        lines = int(job.options.split("lines=")[1].split()[0])
        assert jobs.log(f"away-{name}") == "".join(f"line {i} of away-{job.kind}\n" for i in range(lines))
    history = arm.get(f"/mlflow/v1.0{server.workspace}/api/2.0/mlflow/metrics/get-history?run_id=away-telling&metric_key=loss")
    assert [m["step"] for m in history["metrics"]] == list(range(20))
    if not place.readable:
        assert scorer.deploy("green", "after") == "Succeeded"
    writer.stop()
    scorer.stop()
    assert writer.missing() == []
    assert jobs.seen().count(" ended ") == len(batch)
    assert server.pids() == before
    until(lambda: left_over(server, 2, place.url) == [], 30, 0.1, lambda: left_over(server, 2, place.url))


def said_to_come_again(arm: Client, server: Server) -> Answer | None:
    """A write's answer once it is 503. (A short outage passes unnoticed: it is waited for.)"""
    answer = arm.json_call("PUT", server.path("computes/away"), {
        "location": "local", "properties": {"computeType": "AmlCompute", "properties": {"vmSize": "STANDARD_DS3_V2"}},
    })
    return answer if answer.status == 503 else None
