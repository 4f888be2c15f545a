from __future__ import annotations

import pytest
import sqlalchemy as sa

from lazward.contract.mlflow import MlflowError
from lazward.storage import assessments, experiments, runs, spans, tables, traces
from tests.storage.trace_data import S, find, id_of, log, make_span, said, start
from tests.storage.tracking_data import KEY, NOW, OTHER, make_run, make_workspaces


@pytest.fixture(autouse=True)
def some(db):
    make_workspaces(db)


def rows(db, table):
    return db.read_now(lambda tx: tx.execute(sa.select(sa.func.count()).select_from(table)).scalar())


def test_a_whole_trace(db):
    full = start(db, 1, client_id="c", request="q", response="a", tags={"t": "1", "mlflow.traceName": "n", "mlflow.trace.spansLocation": "HERE"},
                 metadata={"mlflow.trace.session": "s", "m": "x"}, assessments=(said("good", True),))
    t = full.trace
    assert (t.client_id, t.request, t.response, t.name, t.session, t.tags) == ("c", "q", "a", "n", "s", {"t": "1"})
    assert t.metadata == {"mlflow.trace.session": "s", "m": "x", "mlflow.trace.infoFinalized": "true"}
    assert [a.name for a in full.assessments] == ["good"]
    again = start(db, 1, duration=5, tags={"u": "2"}, state="ERROR").trace
    assert (again.duration, again.state, again.tags, again.name, again.request, again.session) == (5, "ERROR", {"t": "1", "u": "2"}, "n", "q", "s")
    assert db.read_now(traces.one, KEY, id_of(1)).trace == again


def test_begun_and_ended_as_by_mlflow_2(db):
    db.write_now(traces.begin, KEY, "tr-a", "0", 1000, {"mlflow.traceName": "n"}, {"m": "1"}, NOW)
    assert db.read_now(traces.one, KEY, "tr-a").trace.state == "IN_PROGRESS"
    t = db.write_now(traces.end, KEY, "tr-a", 1500, "OK", {"t": "1"}, {"k": "2"}).trace
    assert (t.duration, t.state, t.tags, t.metadata, t.name) == (500, "OK", {"t": "1"}, {"m": "1", "k": "2"}, "n")
    with pytest.raises(MlflowError, match="exists already"):
        db.write_now(traces.begin, KEY, "tr-a", "0", 1000, {}, {}, NOW)
    with pytest.raises(MlflowError, match="not found"):
        db.write_now(traces.end, OTHER.key, "tr-a", 1500, "OK", {}, {})


def test_tags(db):
    start(db, 1)
    db.write_now(traces.set_tag, KEY, id_of(1), "a", "1")
    db.write_now(traces.set_tag, KEY, id_of(1), "mlflow.traceName", "n")
    assert (db.read_now(traces.one, KEY, id_of(1)).trace.tags, db.read_now(traces.one, KEY, id_of(1)).trace.name) == ({"a": "1"}, "n")
    for name in ("a", "mlflow.traceName"):
        db.write_now(traces.delete_tag, KEY, id_of(1), name)
        with pytest.raises(MlflowError, match="No trace tag"):
            db.write_now(traces.delete_tag, KEY, id_of(1), name)


def test_links(db):
    make_run(db, "r1")
    start(db, 1, metadata={"mlflow.sourceRun": "r1"})
    start(db, 2)
    start(db, 3, key=OTHER.key)
    db.write_now(traces.link_run, KEY, [id_of(2), id_of(2), id_of(3), "none"], "r1")
    db.write_now(traces.link_run, KEY, [id_of(2)], "r1")
    db.write_now(traces.link_prompts, KEY, id_of(2), ["p/1", "q/2"])
    assert find(db, "run_id = 'r1'")[0] == [1, 2]
    assert find(db, "prompt = 'q/2'")[0] == [2]
    for call, args in ((traces.link_run, ([id_of(1)], "none")), (traces.link_prompts, ("none", ["p/1"]))):
        with pytest.raises(MlflowError, match="not found"):
            db.write_now(call, KEY, *args)


class TestEnd:
    def test_of_traces_by_time_and_by_id(self, db):
        for n in range(1, 8):
            log(db, make_span(n, 1, start=n))
            db.write_now(assessments.create, KEY, id_of(n), said("a", 1))
            db.write_now(traces.link_prompts, KEY, id_of(n), ["p/1"])
        log(db, make_span(1, 1), key=OTHER.key)
        assert db.write_now(traces.delete, KEY, "0", NOW, 2, until=(S + 4) * 1000) == 2
        assert find(db)[0] == [7, 6, 5, 4, 3]
        assert db.write_now(traces.delete, KEY, "0", NOW, 9, until=(S + 4) * 1000) == 2
        assert db.write_now(traces.delete, KEY, "0", NOW, 9, ids=[id_of(6), id_of(1), "none"]) == 1
        assert db.write_now(traces.delete, KEY, "none", NOW, 9, ids=[id_of(7)]) == 0
        assert find(db)[0] == [7, 5]
        assert [rows(db, t) for t in (tables.trace, tables.span, tables.assessment, tables.trace_link)] == [3, 3, 2, 2]
        assert find(db, key=OTHER.key)[0] == [1]

    def test_with_the_workspace(self, db):
        start(db, 1, assessments=(said("a", 1),), metadata={"mlflow.sourceRun": "r"})
        log(db, make_span(1, 1), make_span(2, 1))
        log(db, make_span(1, 1), key=OTHER.key)
        db.write_now(runs.delete_workspace, KEY)
        assert [rows(db, t) for t in (tables.trace, tables.span, tables.assessment, tables.trace_link)] == [1, 1, 0, 0]
        assert find(db, key=OTHER.key)[0] == [1]

    def test_of_a_jobs_run_leaves_its_traces(self, db):
        """They are the experiment's."""
        db.write_now(runs.create_job_run, KEY, "job1", "e", "n", "me", {}, NOW)
        experiment = db.read_now(experiments.by_name, KEY, "e").id
        start(db, 1, experiment=experiment, metadata={"mlflow.sourceRun": "job1"})
        assert find(db, "run_id = 'job1'", experiments=(experiment,))[0] == [1]
        db.write_now(runs.delete_job_run, KEY, "job1", NOW)
        assert find(db, "run_id = 'job1'", experiments=(experiment,))[0] == []
        assert find(db, experiments=(experiment,))[0] == [1]


def test_many_in_the_order_asked_for(db):
    other = db.write_now(experiments.create, KEY, "e", NOW).id
    for n in (1, 2, 3):
        start(db, n, experiment=other if n == 2 else "0")
    log(db, make_span(3, 1))
    ids = [id_of(n) for n in (3, 1, 2, 3, 9)]
    assert [f.trace.id for f in db.read_now(traces.many, KEY, ids, None)] == [id_of(n) for n in (3, 1, 2)]
    assert [f.trace.id for f in db.read_now(traces.many, KEY, ids, ["0"])] == [id_of(n) for n in (3, 1)]
    assert db.read_now(traces.many, KEY, ids, []) == []
    assert [(f.trace.id, len(kept)) for f, kept in db.read_now(spans.whole_many, KEY, ids, None)] == [(id_of(3), 1), (id_of(1), 0), (id_of(2), 0)]


def test_a_deleted_experiment_takes_no_traces(db):
    other = db.write_now(experiments.create, KEY, "e", NOW).id
    db.write_now(experiments.delete, KEY, other, NOW)
    with pytest.raises(MlflowError, match="must be in the 'active' state"):
        start(db, 1, experiment=other)
    with pytest.raises(MlflowError, match="must be in the 'active' state"):
        log(db, make_span(1, 1), experiment=other)
