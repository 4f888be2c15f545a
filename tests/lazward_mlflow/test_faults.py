"""MLflow as released over a network that fails in every way: the script goes on, and everything it was told was logged is there once."""

from __future__ import annotations

import json

import pytest

from bench.server import until
from lazward.storage import metric_history, run_search, tasks
from tests.conformance.tracking_server import TOKEN
from tests.lazward_mlflow.proxy import BUSY, CUT, HANG, LATE, LOST, PASS, REFUSE
from tests.storage.tracking_data import KEY

FAULTS = (REFUSE, CUT, HANG, BUSY, LOST, LATE)


@pytest.fixture(scope="module")
def remote(world):
    return world.remote()


def history(world, run: str, key: str) -> list[tuple[int, float]]:
    points, _ = world.server.db.read_now(metric_history.history, KEY, run, key, None, None)
    return [(p.step, p.value) for p in points]


def run_of(world, run: str):
    return world.server.db.read_now(run_search.one, KEY, run)


def count_runs(world, name: str) -> int:
    return len(world.server.db.read_now(lambda tx: tx.conn.exec_driver_sql("select 1 from run where name = ?", (name,)).all()))


@pytest.mark.parametrize("fault", FAULTS)
def test_in_the_middle_of_a_run(world, network, remote, fault):
    run = remote.run(f"run = mlflow.start_run(run_name='middle-{fault}'); mlflow.log_param('before', 1); mlflow.log_metric('m', 0, step=0); said = run.info.run_id")
    network(fault)
    remote.run(
        "for n in range(1, 6): mlflow.log_metric('m', n, step=n)\n"
        "mlflow.log_params({'a': 1, 'b': 2}); mlflow.set_tag('t', 'first'); mlflow.log_metrics({'x': 1.5, 'y': 2.5}, step=7)\n"
        "mlflow.log_metric('async', 1, synchronous=False); mlflow.flush_async_logging(); mlflow.set_tag('t', 'last'); mlflow.log_text('umlaut ä', 'notes/a b.txt')",
    )
    if fault != REFUSE:  # what is read comes from what is known, quickly
        assert remote.run("said = client.get_run(run.info.run_id).data.params") == {"before": "1", "a": "1", "b": "2"}
    assert world.left()
    network(PASS)
    remote.run("mlflow.log_metric('m', 6, step=6); mlflow.end_run()")
    world.settled()
    full = run_of(world, run)
    assert (full.run.status, dict(full.params), dict(full.tags)["t"]) == ("FINISHED", {"before": "1", "a": "1", "b": "2"}, "last")
    assert history(world, run, "m") == [(n, float(n)) for n in range(7)]
    assert [history(world, run, key) for key in ("x", "y", "async")] == [[(7, 1.5)], [(7, 2.5)], [(0, 1.0)]]
    assert remote.run("said = mlflow.artifacts.load_text(f'runs:/{run.info.run_id}/notes/a b.txt')") == "umlaut ä"


@pytest.mark.parametrize("fault", FAULTS)
def test_at_the_beginning(world, network, remote, fault):
    """Experiment, run, child and model are made while the server does not answer: once each, though it may have heard us."""
    network(fault)
    run, child = remote.run(
        f"mlflow.set_experiment('begun-{fault}')\n"
        f"with mlflow.start_run(run_name='begun-{fault}') as run:\n"
        "    mlflow.log_metric('m', 1, step=1)\n"
        f"    with mlflow.start_run(run_name='child-{fault}', nested=True) as child: mlflow.log_param('p', 'v')\n"
        "    seen = client.get_run(run.info.run_id); assert seen.data.metrics == {'m': 1.0}, seen\n"
        "assert client.get_run(run.info.run_id).info.status == 'FINISHED'\n"
        "said = [run.info.run_id, child.info.run_id]; mlflow.set_experiment(experiment_id='0')",
    )
    network(PASS)
    world.settled()
    full, below = run_of(world, run), run_of(world, child)
    assert (full.run.status, below.run.status, below.run.parent, dict(below.params)) == ("FINISHED", "FINISHED", run, {"p": "v"})
    assert full.experiment.name == f"begun-{fault}" and history(world, run, "m") == [(1, 1.0)]
    assert count_runs(world, f"begun-{fault}") == count_runs(world, f"child-{fault}") == 1


def test_again_and_again(world, network, remote):
    run = remote.run("run = mlflow.start_run(run_name='again'); said = run.info.run_id")
    wanted = []
    for n, fault in enumerate([CUT, PASS, BUSY, PASS, LOST, PASS, REFUSE, PASS] * 2):
        network(fault)
        remote.run(f"for k in range(3): mlflow.log_metric('m', {n} + k / 10, step={n} * 10 + k)")
        wanted += [(n * 10 + k, n + k / 10) for k in range(3)]
    remote.run("mlflow.end_run()")
    world.settled()
    assert history(world, run, "m") == wanted


def test_what_cannot_be_said_twice_waits_and_then_says_what_to_do(world, network, remote):
    remote.run("run = mlflow.start_run(run_name='held')")
    network(REFUSE)
    remote.run("mlflow.log_metric('m', 1)")
    kind, text = remote.fails("client.create_registered_model('held')")
    assert kind == "MlflowException"
    for part in ("registered-models/create", "for 1 s (connection refused)", "Nothing that was logged is lost", "LAZWARD_SPOOL_WAIT", str(world.folder)):
        assert part in text, text
    kind, text = remote.fails("client.search_runs(['0'])")
    assert kind == "MlflowException"
    network(PASS)
    world.settled()
    assert remote.run("mlflow.end_run(); said = client.create_registered_model('held').name") == "held"


def test_a_refusal_is_kept_and_told_and_the_rest_goes_on(world, network):
    remote = world.remote(LAZWARD_SPOOL_EXIT_WAIT="60")
    run = remote.run("run = mlflow.start_run(run_name='refused'); mlflow.log_param('p', '1'); said = run.info.run_id")
    network(REFUSE)
    remote.run("mlflow.log_metric('m', 1); mlflow.log_param('p', '2'); mlflow.log_metric('m', 2, step=1)")
    network(PASS)
    said = remote.end()
    assert "refused 1 of the calls" in said
    assert history(world, run, "m") == [(0, 1.0), (1, 2.0)]
    (rejected,) = world.folder.rglob("rejected.jsonl")
    refused = json.loads(rejected.read_text())
    assert (refused["status"], refused["call"]["b"]["value"]) == (400, "2") and "Changing param values" in refused["reason"]
    out = world.sync(str(rejected.parent), "--again", code=1)
    assert "refused: 1" in out and "Changing param values" in out
    rejected.unlink()


def test_a_killed_process_leaves_its_journal_and_sync_sends_it(world, network):
    remote = world.remote()
    run = remote.run("run = mlflow.start_run(run_name='killed'); said = run.info.run_id")
    network(REFUSE)
    remote.run("for n in range(2345): mlflow.log_metric('m', n, step=n)\nmlflow.log_text('x' * 100000, 'big.txt')")
    (left,) = world.left()
    assert "process is running" in world.sync(str(world.folder))
    remote.kill()
    assert "2345 runs/log-metric" in world.sync(str(world.folder), "--dry-run")
    assert "connection refused" in world.sync(str(world.folder), code=1).lower()
    assert world.left() == [left]
    network(PASS)
    assert "2346 calls sent, 100000 bytes of files" in world.sync(str(world.folder))
    assert history(world, run, "m") == [(n, float(n)) for n in range(2345)]
    assert world.left() == [] and "nothing was left behind" in world.sync(str(world.folder))


def test_no_token_is_kept(world, network):
    remote = world.remote()
    network(REFUSE)
    remote.run("with mlflow.start_run(): mlflow.log_metric('m', 1); mlflow.log_text('x', 'x.txt')")
    remote.end()
    kept = [path for path in world.folder.rglob("*") if path.is_file()]
    assert len(kept) >= 4 and not [path for path in kept if TOKEN.encode() in path.read_bytes()]
    assert not [path for path in kept if path.stat().st_mode & 0o077]
    network(PASS)
    world.sync(str(world.folder))


def test_what_is_wrong_is_said_at_once_and_not_kept(world, network):
    remote = world.remote(MLFLOW_TRACKING_TOKEN="nobody")
    kind, text = remote.fails("mlflow.start_run()")
    assert kind in ("RestException", "MlflowException") and ("401" in text or "UNAUTHENTICATED" in text or "token" in text), (kind, text)
    remote.kill()
    assert world.left() == []


def test_the_end_of_a_process_waits_no_longer_than_it_may_and_says_what_is_left(world, network):
    remote = world.remote()
    remote.run("run = mlflow.start_run(run_name='end')")
    network(REFUSE)
    remote.run("mlflow.log_metric('m', 1)")
    said = remote.end()
    (left,) = world.left()
    assert "Nothing is lost" in said and f"lazward sync {left.rpartition('/')[0]}" in said
    network(PASS)
    world.sync(str(world.folder))


@pytest.mark.parametrize("fault", [REFUSE, CUT])
def test_a_large_file_that_cannot_go_in_parts_is_kept_whole(world, network, fault):
    parts = {"MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true", "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "2000000", "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": "1000000"}
    remote = world.remote(**parts, LAZWARD_SPOOL_WAIT="300")
    remote.run("run = mlflow.start_run(run_name='large')")
    network(fault)
    remote.run(
        "import tempfile, pathlib\n"
        "path = pathlib.Path(tempfile.mkdtemp(), 'large.bin'); path.write_bytes(bytes(range(250)) * 12_000)\n"
        "mlflow.log_artifact(str(path)); path.write_bytes(b'changed at once')",
    )
    assert world.left()
    network(PASS)
    world.settled()
    remote.run("with open(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path='large.bin'), 'rb') as f: assert f.read() == bytes(range(250)) * 12_000")
    remote.end()


def test_a_process_says_that_its_runs_live_until_it_ends(world, network):
    def watched() -> dict[str, float]:
        return {task.state["run"]: task.state["heard"] for task in world.server.db.read_now(tasks.open_of_kind, "run.watch")}

    remote = world.remote(LAZWARD_HEARTBEAT="1")
    first, second = remote.run("a, b, c = (client.create_run('0').info.run_id for _ in range(3)); client.set_terminated(c); said = [a, b]")
    assert set(watched()) == {first, second}
    begun = watched()
    until(lambda: all(watched()[run] > begun[run] for run in begun), 30)
    network(REFUSE)
    third = remote.run("said = client.create_run('0').info.run_id")
    network(PASS)
    world.settled()
    until(lambda: set(watched()) == {first, second, third}, 30)
    heard = watched()[third]
    until(lambda: watched()[third] > heard, 30)
    remote.end()
    assert watched() == {}


def test_processes_that_are_forked_keep_journals_of_their_own(world, network):
    remote = world.remote()
    run = remote.run("run = mlflow.start_run(run_name='forked'); said = run.info.run_id")
    network(REFUSE)
    remote.run(
        "import multiprocessing\n"
        "def work(rank):\n"
        "    for n in range(20): client.log_metric(run.info.run_id, f'rank{rank}', n, step=n)\n"
        "mlflow.log_metric('m', 1)\n"
        "many = [multiprocessing.get_context('fork').Process(target=work, args=(rank,)) for rank in range(2)]\n"
        "for one in many: one.start()\n"
        "for one in many: one.join()\n"
        "said = [one.exitcode for one in many]",
    )
    assert len(world.left()) == 3
    network(PASS)
    remote.run("mlflow.end_run()")
    world.sync(str(world.folder))
    world.settled()
    for rank in range(2):
        assert history(world, run, f"rank{rank}") == [(n, float(n)) for n in range(20)]


def test_off_means_off(world, network):
    remote = world.remote(LAZWARD_SPOOL="off")
    network(REFUSE)
    loaded = remote.run("import sys; said = sorted(name for name in sys.modules if name.startswith('lazward'))")
    assert loaded == ["lazward_mlflow", "lazward_mlflow.plugin", "lazward_mlflow.settings"]
    _, text = remote.fails("client.create_run('0')")
    assert "Connection refused" in text or "failed with exception" in text
    remote.kill()
    assert world.left() == []


@pytest.mark.parametrize("fault", [REFUSE, BUSY, LOST])
def test_traces(world, network, remote, fault):
    """What was traced meanwhile is there once, with its spans, its run and what people thought of it."""
    network(fault)
    trace, run = remote.run(
        "inner = mlflow.trace(lambda x: x * 2, name='inner')\n"
        "asked = mlflow.trace(lambda x: inner(x) + 1, name='asked')\n"
        f"with mlflow.start_run(run_name='traced-{fault}') as run: assert asked(3) == 7\n"
        "mlflow.flush_trace_async_logging()\n"
        "trace = mlflow.get_last_active_trace_id()\n"
        "mlflow.set_trace_tag(trace, 'mood', 'good'); mlflow.log_feedback(trace_id=trace, name='right', value=True)\n"
        "said = [trace, run.info.run_id]",
    )
    assert world.left()
    network(PASS)
    world.settled()
    found = remote.run(
        f"found = mlflow.search_traces(run_id={run!r}, return_type='list')\n"
        "said = [[t.info.trace_id, t.info.tags.get('mood'), [a.name for a in t.info.assessments], sorted(s.name for s in t.data.spans), t.info.state.value] for t in found]",
    )
    assert found == [[trace, "good", ["right"], ["asked", "inner"], "OK"]]
