from __future__ import annotations

import os
from pathlib import Path

from lazward_mlflow.senders import Away
from lazward_mlflow.sync import LEFT, LIVE, SEEN, SENT, Progress, sync, words
from tests.lazward_mlflow.standin import BASE, RUN, StandIn, create_run, error, left_behind, metric, param


def run_sync(folder: Path, server: StandIn, **how):
    return list(sync(str(folder), lambda base: server, **how))


def test_each_place_for_itself(tmp_path):
    server = StandIn()
    places = [left_behind(tmp_path, create_run(), metric("m", n)) for n in range(3)]
    results = run_sync(tmp_path, server)
    assert [(r.how, r.sent) for r in results] == [(SENT, 2)] * 3 and server.metrics[RUN] == [("m", n, 0) for n in range(3)]
    assert not any(Path(p.folder).exists() for p in places)


def test_a_living_process_is_left_alone(tmp_path):
    place = left_behind(tmp_path, create_run())
    assert place.claim()
    server = StandIn()
    (result,) = run_sync(tmp_path, server)
    assert result.how == LIVE and server.calls == []
    os.truncate(place.journal, 0)
    assert run_sync(tmp_path, server) == []


def test_a_dry_run_changes_nothing(tmp_path):
    place = left_behind(tmp_path, create_run(), metric("m", 1), metric("m", 2))
    before = Path(place.journal).read_bytes()
    server = StandIn()
    (result,) = run_sync(tmp_path, server, dry_run=True)
    assert (result.how, dict(result.calls)) == (SEEN, {"runs/create": 1, "runs/log-metric": 2})
    assert server.calls == [] and Path(place.journal).read_bytes() == before
    assert "2 runs/log-metric, 1 runs/create" in words(result)[0]


def test_goes_on_where_it_was_stopped(tmp_path):
    server = StandIn()
    left_behind(tmp_path, create_run(), metric("m", 1), create_run("cd" * 16), metric("m", 2))

    def fault(name, body):
        if body.get("lazward_id") == "cd" * 16:
            raise Away("cut off")

    server.fault = fault
    (result,) = run_sync(tmp_path, server)
    assert (result.how, result.sent, dict(result.calls)) == (LEFT, 2, {"runs/create": 1, "runs/log-metric": 1})
    server.fault = lambda name, body: None
    (result,) = run_sync(tmp_path, server)
    assert (result.how, result.sent) == (SENT, 2)
    assert server.names() == ["runs/create", "runs/log-metric", "runs/create", "runs/log-metric"]


def test_to_another_server_everything_goes_anew(tmp_path):
    first, second = StandIn(names_itself=True), StandIn(names_itself=True)
    place = left_behind(tmp_path, create_run(), metric("m", 1), create_run("cd" * 16))

    def fault(name, body):
        if body.get("lazward_id") == "cd" * 16:
            raise Away("cut off")

    first.fault = fault
    asked: list[str] = []

    def sender(server):
        return lambda base: asked.append(base) or server

    list(sync(str(tmp_path), sender(first)))
    assert place.state()["ids"]
    list(sync(str(tmp_path), sender(second), to="https://other/mlflow/workspaces/w"))
    assert asked == [BASE, "https://other/mlflow/workspaces/w"]
    assert second.metrics == {"theirs0": [("m", 1, 0)], "theirs1": []}


def test_what_was_refused_can_be_tried_again(tmp_path):
    server = StandIn()
    place = left_behind(tmp_path, metric("m", 1), param("p", "1"))
    (result,) = run_sync(tmp_path, server)
    assert (result.how, result.refused) == (SENT, 2)
    assert any("runs/log-metric" in line and "404" in line and "it is" in line for line in words(result))
    (result,) = run_sync(tmp_path, server, again=True)
    assert result.refused == 2
    server.metrics[RUN] = []
    (result,) = run_sync(tmp_path, server, again=True)
    assert (result.refused, server.metrics[RUN], server.params) == (0, [("m", 1, 0)], {(RUN, "p"): "1"})
    assert not Path(place.folder).exists()


def test_one_server_that_is_away_does_not_keep_the_others(tmp_path):
    up, down = StandIn(), StandIn()
    down.fault = lambda name, body: error(503, "X")
    left_behind(tmp_path, create_run(), base="http://down.test")
    left_behind(tmp_path, create_run(), base="http://up.test")
    results = list(sync(str(tmp_path), lambda base: up if "up" in base else down))
    assert [r.how for r in results] == [LEFT, SENT]


def test_progress_is_told_now_and_then(tmp_path, monkeypatch):
    said: list[str] = []
    progress = Progress(said.append)
    at = [0.0]
    monkeypatch.setattr("lazward_mlflow.sync.time.monotonic", lambda: at[0])
    progress._at = 0.0
    place = left_behind(tmp_path)
    for done in range(10):
        at[0] += 0.25
        progress(place, done, 10)
    assert said == [f"{place.folder}: 3 of 10 calls", f"{place.folder}: 7 of 10 calls"]
