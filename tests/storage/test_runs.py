from __future__ import annotations

import pytest
import sqlalchemy as sa

from lazward.contract.mlflow import MlflowError
from lazward.storage import experiments, metrics, run_search, runs, tables
from tests.storage.tracking_data import KEY, NOW, OTHER, make_run, make_workspaces, value


@pytest.fixture(autouse=True)
def workspaces(db):
    make_workspaces(db)


def tags_of(db, id_):
    return dict(db.read_now(run_search.one, KEY, id_).tags)


class TestCreate:
    def test_runs_start_running_under_their_name(self, db):
        make_run(db, "r1", tags=(("a", "1"), ("mlflow.parentRunId", "p")))
        full = db.read_now(run_search.one, KEY, "r1")
        assert (full.run.status, full.run.name, full.run.parent, full.run.is_job) == ("RUNNING", "name of r1", "p", False)
        assert dict(full.tags) == {"a": "1", "mlflow.parentRunId": "p", "mlflow.runName": "name of r1"}
        assert full.experiment.id == "0"

    def test_the_same_id_twice(self, db):
        make_run(db, "r1")
        with pytest.raises(MlflowError) as caught:
            make_run(db, "r1", started=NOW + 1)
        assert caught.value.code == "RESOURCE_ALREADY_EXISTS"
        make_run(db, "r1", key=OTHER.key)

    async def test_the_same_run_twice_is_one(self, db):
        """Who does not hear the answer sends it again; so does the database's own thread."""
        made = [await db.write_small(runs.create, KEY, "r1", "0", "n", "me", 1.0, [("a", "1")], 1.0) for _ in range(2)]
        assert made[0] == made[1]
        assert dict(db.read_now(run_search.one, KEY, "r1").tags) == {"a": "1", "mlflow.runName": "n"}

    async def test_what_more_is_written_with_it_is_of_the_same_transaction(self, db):
        def create_and_fail(tx) -> None:
            runs.create(tx, KEY, "r1", "0", "n", "me", 1.0, [], 1.0, more=True)
            raise ValueError

        make_run(db, "r0")  # so that the experiment is there
        with pytest.raises(ValueError):
            await db.write_small(create_and_fail)
        with pytest.raises(MlflowError, match="not found"):
            db.read_now(runs.get, KEY, "r1")

    async def test_alone_in_an_experiment_that_is_not_there_yet_or_no_more(self, db):
        run, experiment = await db.write_small(runs.create, KEY, "r1", "0", "n", "me", 1.0, [], 1.0)
        assert (run.experiment, experiment.name) == (experiment.seq, "Default")
        with pytest.raises(MlflowError, match="No Experiment"):
            await db.write_small(runs.create, KEY, "r2", "77", "n", "me", 1.0, [], 1.0)

    def test_without_its_workspace_a_run_is_not_there(self, db):
        make_run(db, "r1")
        db.write_now(lambda tx: tx.execute(sa.delete(tables.resource)))
        with pytest.raises(MlflowError, match="workspace"):
            db.read_now(runs.get, KEY, "r1")


class TestJobs:
    @pytest.fixture(autouse=True)
    def job(self, db):
        db.write_now(runs.create_job_run, KEY, "job-1", "exp", "Display", "me", {"t": "v"}, NOW)

    def test_the_run_is_in_its_experiment(self, db):
        full = db.read_now(run_search.one, KEY, "job-1")
        assert (full.run.status, full.experiment.name, full.run.name) == ("SCHEDULED", "exp", "Display")
        assert full.experiment.id == db.read_now(experiments.by_name, KEY, "exp").id

    def test_the_server_wins_over_the_client(self, db):
        db.write_now(runs.set_status, KEY, "job-1", "Running", NOW + 10)
        db.write_now(runs.update, KEY, "job-1", "FINISHED", NOW + 11, "other name")
        run = db.read_now(runs.get, KEY, "job-1")
        assert (run.status, run.ended, run.name, run.started) == ("RUNNING", None, "other name", NOW + 10)
        db.write_now(runs.set_status, KEY, "job-1", "Failed", NOW + 20)
        db.write_now(runs.update, KEY, "job-1", "RUNNING", NOW + 21, None)
        run = db.read_now(runs.get, KEY, "job-1")
        assert (run.status, run.ended) == ("FAILED", NOW + 20)
        assert tags_of(db, "job-1")["mlflow.runName"] == "other name"

    def test_start_is_the_first_running(self, db):
        for at, status in enumerate(("Queued", "Preparing", "Running", "Finalizing", "CancelRequested", "Canceled")):
            db.write_now(runs.set_status, KEY, "job-1", status, NOW + at)
        run = db.read_now(runs.get, KEY, "job-1")
        assert (run.status, run.started, run.ended) == ("KILLED", NOW + 2, NOW + 5)

    def test_purged_runs_do_not_stop_a_job(self, db):
        db.write_now(runs.delete_job_run, KEY, "job-1", NOW)
        db.write_now(runs.set_status, KEY, "job-1", "Completed", NOW)
        db.write_now(runs.set_tags, KEY, "job-1", {"a": "b"}, NOW)
        with pytest.raises(MlflowError):
            db.read_now(runs.get, KEY, "job-1")

    def test_a_job_tells_its_tags_whatever_the_stage(self, db):
        db.write_now(runs.delete, KEY, "job-1", NOW)
        db.write_now(runs.set_tags, KEY, "job-1", {"t": "w", "u": "x"}, NOW)
        assert {"t": "w", "u": "x"}.items() <= tags_of(db, "job-1").items()

    def test_a_job_takes_tags_back(self, db):
        make_run(db, "r2", tags=(("t", "other's"),))
        db.write_now(runs.set_tags, KEY, "job-1", {"t": "w", "u": "x"}, NOW)
        for _ in range(2):
            db.write_now(runs.drop_tags, KEY, "job-1", ("t", "never"))
        assert "t" not in tags_of(db, "job-1") and tags_of(db, "job-1")["u"] == "x"
        assert tags_of(db, "r2")["t"] == "other's"
        db.write_now(runs.drop_tags, KEY, "no-run", ("t",))


class TestLife:
    def test_update_delete_restore(self, db):
        make_run(db, "r1")
        db.write_now(runs.update, KEY, "r1", "FINISHED", NOW + 1, None)
        db.write_now(runs.delete, KEY, "r1", NOW)
        db.write_now(runs.delete, KEY, "r1", NOW)
        for fn, args in ((runs.update, ("RUNNING", None, None)), (runs.log_param, ("a", "b")), (runs.set_tag, ("a", "b")), (metrics.log, ([value("m", 1)],))):
            with pytest.raises(MlflowError, match="must be in the 'active' state") as caught:
                db.write_now(fn, KEY, "r1", *args)
            assert caught.value.code == "INVALID_PARAMETER_VALUE"
        db.write_now(runs.restore, KEY, "r1")
        run = db.read_now(runs.get, KEY, "r1")
        assert (run.status, run.ended, run.stage) == ("FINISHED", NOW + 1, "active")

    def test_children(self, db):
        make_run(db, "p")
        make_run(db, "c1", tags=(("mlflow.parentRunId", "p"),))
        make_run(db, "c2")
        db.write_now(runs.set_tag, KEY, "c2", "mlflow.parentRunId", "p")
        assert [r.id for r, _ in db.read_now(runs.children, KEY, "p")] == ["c1", "c2"]
        db.write_now(runs.delete_tag, KEY, "c2", "mlflow.parentRunId")
        assert [r.id for r, _ in db.read_now(runs.children, KEY, "p")] == ["c1"]

    def test_deleting_a_workspace_leaves_nothing_of_it_and_all_of_others(self, db):
        for key in (KEY, OTHER.key):
            make_run(db, "r1", key=key)
            db.write_now(metrics.log_batch, key, "r1", [value("m", 1)], [("p", "1")], [("t", "1")])
        counts = lambda tx: {t.name: tx.execute(sa.select(sa.func.count()).select_from(t)).scalar() for t in tables.metadata.sorted_tables}  # noqa: E731
        before = db.read_now(counts)
        db.write_now(runs.delete_workspace, KEY)
        after = db.read_now(counts)
        for name in ("experiment", "run", "metric", "latest_metric", "param", "run_tag"):
            assert after[name] * 2 == before[name], name
        assert db.read_now(run_search.one, OTHER.key, "r1").params == [("p", "1")]


class TestParamsAndTags:
    async def test_one_tag_alone(self, db):
        make_run(db, "r1")
        for name, text in (("a", "1"), ("a", "2"), ("mlflow.runName", "new"), ("mlflow.parentRunId", "p")):
            await db.write_small(runs.set_tag, KEY, "r1", name, text)
        full = db.read_now(run_search.one, KEY, "r1")
        assert dict(full.tags) == {"a": "2", "mlflow.runName": "new", "mlflow.parentRunId": "p"} and (full.run.name, full.run.parent) == ("new", "p")
        with pytest.raises(MlflowError, match="not found"):
            await db.write_small(runs.set_tag, KEY, "r2", "a", "1")
        db.write_now(runs.delete, KEY, "r1", 1.0)
        with pytest.raises(MlflowError, match="active"):
            await db.write_small(runs.set_tag, KEY, "r1", "a", "1")

    async def test_one_param_alone(self, db):
        make_run(db, "r1")
        for _ in range(2):
            await db.write_small(runs.log_param, KEY, "r1", "lr", "0.1")
        with pytest.raises(MlflowError, match=r"already logged with value='0.1'.*'0.2'"):
            await db.write_small(runs.log_param, KEY, "r1", "lr", "0.2")
        with pytest.raises(MlflowError, match="not found"):
            await db.write_small(runs.log_param, KEY, "r2", "lr", "0.2")
        assert db.read_now(run_search.one, KEY, "r1").params == [("lr", "0.1")]
        db.write_now(runs.delete, KEY, "r1", 1.0)
        with pytest.raises(MlflowError, match="active"):
            await db.write_small(runs.log_param, KEY, "r1", "new", "0.2")

    def test_a_param_keeps_its_value(self, db):
        make_run(db, "r1")
        db.write_now(runs.log_param, KEY, "r1", "lr", "0.1")
        db.write_now(runs.log_param, KEY, "r1", "lr", "0.1")
        with pytest.raises(MlflowError, match=r"already logged with value='0.1'.*'0.2'"):
            db.write_now(runs.log_param, KEY, "r1", "lr", "0.2")
        with pytest.raises(MlflowError, match="old_value"):
            db.write_now(metrics.log_batch, KEY, "r1", [value("m", 1)], [("new", "1"), ("lr", "0.3")], [("t", "1")])
        full = db.read_now(run_search.one, KEY, "r1")
        assert full.params == [("lr", "0.1")]
        assert full.metrics == []  # all or nothing
        assert "t" not in dict(full.tags)

    def test_the_last_of_equal_tags_wins(self, db):
        make_run(db, "r1")
        db.write_now(metrics.log_batch, KEY, "r1", [], [], [("a", "1"), ("a", "2"), ("mlflow.runName", "renamed")])
        assert tags_of(db, "r1")["a"] == "2"
        db.write_now(runs.set_tag, KEY, "r1", "mlflow.runName", "")
        assert db.read_now(runs.get, KEY, "r1").name == "renamed"

    def test_delete_tag(self, db):
        make_run(db, "r1", tags=(("a", "1"),))
        db.write_now(runs.delete_tag, KEY, "r1", "a")
        with pytest.raises(MlflowError, match="No tag with name: a"):
            db.write_now(runs.delete_tag, KEY, "r1", "a")
