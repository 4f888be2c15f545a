from __future__ import annotations

import json

from lazward.execution.runtime.serve.state import ServerState, WorkerState


def test_the_server_is_ready_while_one_worker_is():
    workers = [WorkerState(0, "/s.0"), WorkerState(1, "/s.1")]
    state = ServerState(1, workers)
    seen = []
    for change in ((0, "waiting"), (1, "ready"), (1, "waiting"), (0, "ready")):
        workers[change[0]].become(change[1])
        state.update()
        seen.append(state.status)
    assert seen == ["starting", "ready", "degraded", "ready"]
    state.status = "stopping"
    state.update()
    assert state.status == "stopping"


def test_the_file_is_replaced_whole(tmp_path):
    path = tmp_path / "state.json"
    state = ServerState(1, [WorkerState(0, "/s.0")])
    state.write(str(path))
    before = path.stat().st_ino
    state.workers[0].become("ready")
    state.write(str(path))
    assert path.stat().st_ino != before
    assert json.loads(path.read_text())["workers"][0]["ready"] is True
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]
