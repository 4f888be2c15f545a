"""What is taken out of the bin goes: rows, files, jobs, and in SQLite the room they took; what something else needs stays."""

from __future__ import annotations

import asyncio
import time

import pytest
import sqlalchemy as sa

from lazward.domain.settings import Settings
from lazward.orchestration import tracking_trash
from lazward.orchestration.data import ARTIFACTS, account_of
from lazward.storage import experiments, logged_models, metrics, resources, runs, tables, tasks, traces
from tests.orchestration.place import HOME, Place
from tests.storage.trace_data import find, id_of, log, make_span
from tests.storage.tracking_data import value

KEY = HOME.lower()


async def file(place: Place, name: str, data: bytes = b"x" * 1000) -> None:
    account = account_of(place.db.read_now(resources.get, KEY))
    await place.blobs.ensure_container(account, ARTIFACTS)
    await place.blobs.put(account, ARTIFACTS, f"ExperimentRun/{name}", data)


async def files(place: Place) -> list[str]:
    account = account_of(place.db.read_now(resources.get, KEY))
    return [blob.name.removeprefix("ExperimentRun/") for blob in (await place.blobs.list(account, ARTIFACTS, prefix="ExperimentRun/")).blobs]


def run(place: Place, id_: str, experiment: str = "0") -> None:
    place.db.write_now(runs.create, KEY, id_, experiment, id_, "me", time.time(), [], time.time())


async def emptied(place: Place, **which: object) -> dict[str, int]:
    task, _ = place.db.write_now(tracking_trash.empty, KEY, time.time(), **which)
    assert task
    async with asyncio.timeout(60):
        while (found := place.db.read_now(tasks.get, task)).status == "InProgress":
            await asyncio.sleep(0.02)
    assert found.status == "Succeeded", found.error
    return found.state


async def test_runs_and_their_files_go_and_it_is_counted(place: Place):
    await place.start()
    for name in ("gone", "stays"):
        run(place, name)
        await file(place, f"dcid.{name}/a/b.txt")
    place.db.write_now(runs.delete, KEY, "gone", time.time())
    state = await emptied(place, run_ids=["gone"])
    assert (state["runs"], state["files"], state["bytes"]) == (1, 1, 1000)
    assert await files(place) == ["dcid.stays/a/b.txt"]
    assert place.db.read_now(runs.seq_of, KEY, "gone") is None


async def test_what_a_registered_model_or_a_model_that_stays_was_made_of_is_kept(place: Place):
    await place.start()
    run(place, "r1")
    model = place.db.write_now(logged_models.create, KEY, "m-1", "0", "clf", "", "r1", {}, {}, time.time())
    for name in ("dcid.r1/clf/model.pkl", "dcid.r1/registered/model.pkl", "dcid.r1/registered2/model.pkl", "dcid.r1/plot.png", "dcid.r10/x"):
        await file(place, name)
    uri = f"azureml://subscriptions/{HOME.split('/')[2]}/resourcegroups/g/workspaces/w/datastores/workspaceartifactstore/paths/ExperimentRun/dcid.r1/registered"
    place.put("models/m", {})
    place.put("models/m/versions/1", {"modelUri": uri, "modelType": "custom_model"})
    place.db.write_now(runs.delete, KEY, "r1", time.time())
    await emptied(place, run_ids=["r1"])
    assert await files(place) == ["dcid.r1/clf/model.pkl", "dcid.r1/registered/model.pkl", "dcid.r10/x"]
    place.db.write_now(logged_models.delete, KEY, model.model.id, time.time())
    await emptied(place, model_ids=["m-1"])
    assert await files(place) == ["dcid.r1/registered/model.pkl", "dcid.r10/x"]


async def test_a_job_goes_as_a_whole(place: Place):
    await place.start()
    place.put("jobs/j1", {"jobType": "Command", "command": "echo hello", "environmentId": f"{HOME}/environments/plain/versions/1", "experimentName": "train"})
    assert (await place.over("j1"))["status"] == "Completed"
    found = place.db.read_now(experiments.by_name, KEY, "train")
    place.db.write_now(experiments.delete, KEY, found.id, time.time())
    await emptied(place, experiment_ids=[found.id])
    assert place.db.read_now(resources.get, f"{KEY}/jobs/j1") is None
    assert place.db.read_now(runs.seq_of, KEY, "j1") is None
    assert await files(place) == []


async def test_what_was_left_by_a_worker_that_died_goes_too(place: Place):
    """Claimed, the files gone, the rows half gone: the next worker ends it."""
    run(place, "r1")
    place.db.write_now(metrics.log, KEY, "r1", [value("m", float(i), step=i) for i in range(10)])
    place.db.write_now(runs.delete, KEY, "r1", time.time())
    task, claimed = place.db.write_now(tracking_trash.empty, KEY, time.time(), run_ids=["r1"])
    assert claimed.runs == 1 and task
    seq = place.db.read_now(runs.seq_of, KEY, "r1")
    place.db.write_now(lambda tx: tx.raw("delete from param where run = ?", (seq,)) and None)
    await place.start()
    async with asyncio.timeout(30):
        while place.db.read_now(runs.seq_of, KEY, "r1") is not None:
            await asyncio.sleep(0.02)


async def test_what_has_been_there_long_enough_goes_by_itself(place: Place):
    run(place, "old")
    run(place, "young")
    now = time.time()
    place.db.write_now(runs.delete, KEY, "old", now - 31 * 86400)
    place.db.write_now(runs.delete, KEY, "young", now - 29 * 86400)
    place.runtime.settings = Settings(data_dir=str(place.folder), trash_days=0)
    assert await tracking_trash.empty_old(place.runtime) == 0
    place.runtime.settings = Settings(data_dir=str(place.folder))
    assert await tracking_trash.empty_old(place.runtime) == 1


async def test_the_file_of_the_database_becomes_smaller(place: Place):
    if not place.db.is_sqlite:
        pytest.skip("PostgreSQL gives room back by itself")
    path = place.db.engine.url.database
    run(place, "big")
    for start in range(0, 60_000, 1000):
        place.db.write_now(metrics.log, KEY, "big", [value("m", float(i), step=i, at=i) for i in range(start, start + 1000)])
    place.db.write_now(runs.delete, KEY, "big", time.time())

    def pages() -> int:
        return place.db.read_now(lambda tx: tx.raw("PRAGMA page_count").fetchone()[0])

    before = pages()
    await place.start()
    await emptied(place, run_ids=["big"])
    assert pages() < before / 2, path


async def test_traces_go_with_their_experiment_and_not_with_a_run(place: Place):
    await place.start()
    account = account_of(place.db.read_now(resources.get, KEY))
    await place.blobs.ensure_container(account, ARTIFACTS)
    going = place.db.write_now(experiments.create, KEY, "going", time.time()).id
    for number, experiment in ((1, going), (2, "0")):
        log(place.db, make_span(number, 1), key=KEY, experiment=experiment)
        await place.blobs.put(account, ARTIFACTS, f"Traces/{id_of(number)}/attachments/a", b"x")
    run(place, "r1")
    place.db.write_now(traces.link_run, KEY, [id_of(2)], "r1")
    place.db.write_now(runs.delete, KEY, "r1", time.time())
    place.db.write_now(experiments.delete, KEY, going, time.time())
    assert find(place.db, key=KEY, experiments=(going,))[0] == [1], "in the bin it is still there"
    await emptied(place, run_ids=["r1"], experiment_ids=[going])
    assert find(place.db, key=KEY, experiments=(going, "0"))[0] == [2]
    assert find(place.db, "run_id IS NULL", key=KEY)[0] == [2]
    assert [b.name for b in (await place.blobs.list(account, ARTIFACTS, prefix="Traces/")).blobs] == [f"Traces/{id_of(2)}/attachments/a"]
    for table in (tables.span, tables.trace):
        assert place.db.read_now(lambda tx, t=table: tx.execute(sa.select(sa.func.count()).select_from(t)).scalar()) == 1
    assert place.db.read_now(lambda tx: tx.execute(sa.select(sa.func.count()).select_from(tables.experiment).where(tables.experiment.c.id == going)).scalar()) == 0
