from __future__ import annotations

import asyncio
import itertools
import math
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.names import Metric
from lazward.storage import metric_history, metrics, run_search, runs, tables
from tests.storage.tracking_data import KEY, OTHER, make_run, make_workspaces, value

INF = math.inf


@pytest.fixture(autouse=True)
def one_run(db):
    make_workspaces(db)
    make_run(db, "r1")


def latest(db, id_="r1"):
    return {key: (step, at, math.nan if nan else number) for key, number, nan, at, step in db.read_now(run_search.one, KEY, id_).metrics}


def history(db, key="m", limit=None, token=None):
    points, token = db.read_now(metric_history.history, KEY, "r1", key, limit, token)
    return [(p.at, p.step, p.value, p.nan) for p in points], token


def extremes(tx, key):
    """Of the newest run."""
    t = tables.latest_metric.c
    return tuple(tx.execute(sa.select(t.low, t.high).where(t.key == key).order_by(t.run.desc())).first())


points = st.builds(
    lambda key, number, step, at: value(key, number, step, at), st.sampled_from("mn"),
    st.one_of(st.sampled_from([INF, -INF, math.nan, 0.0, 1.0]), st.floats(allow_nan=False, allow_infinity=False)), st.integers(-3, 3), st.integers(0, 3),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors])
@given(st.lists(st.lists(points, min_size=1, max_size=6), max_size=4))
def test_latest_low_high_and_history_are_what_a_list_would_say(db, batches):
    run = uuid.uuid4().hex
    make_run(db, run)
    everything: list[Metric] = []
    for batch in batches:
        db.write_now(metrics.log_batch, KEY, run, batch, (), ())
        everything += batch
    for key in {m.key for m in everything}:
        mine = [m for m in everything if m.key == key]
        best = mine[0]
        for m in mine[1:]:
            best = m if m.rank > best.rank else best
        found = {row[0]: row for row in db.read_now(run_search.one, KEY, run).metrics}[key]
        assert (found[4], found[3], found[1]) == (best.step, best.at, best.value)
        numbers = [m.value for m in mine if not m.nan]
        assert db.read_now(extremes, key) == ((min(numbers), max(numbers)) if numbers else (None, None))
        stored, _ = db.read_now(metric_history.history, KEY, run, key, None, None)
        assert [(p.at, p.step, p.value, p.nan) for p in stored] == sorted({(m.at, m.step, m.value, m.nan) for m in mine})


def test_out_of_order_values_do_not_become_the_latest(db):
    for m in (value("m", 1.0, step=5, at=10), value("m", 9.0, step=4, at=99), value("m", 2.0, step=5, at=10), value("m", 0.5, step=5, at=9)):
        db.write_now(metrics.log, KEY, "r1", [m])
    assert latest(db) == {"m": (5, 10, 2.0)}


def test_infinities_are_kept_and_nan_is_nan(db):
    db.write_now(metrics.log, KEY, "r1", [value("i", INF), value("j", -INF), value("n", math.nan), value("n", 3.0, step=-1)])
    found = latest(db)
    assert found["i"][2] == INF
    assert found["j"][2] == -INF
    assert math.isnan(found["n"][2])


def test_a_batch_of_a_thousand_and_its_pages(db):
    batch = [value("m", float(i), step=i, at=i // 10) for i in range(1000)]
    db.write_now(metrics.log_batch, KEY, "r1", batch, (), ())
    db.write_now(metrics.log_batch, KEY, "r1", batch, (), ())  # sent once more: kept once
    everything, token = history(db)
    assert len(everything) == 1000
    assert token is None
    seen, token = [], None
    while True:
        page, token = history(db, limit=300, token=token)
        seen += page
        if token is None:
            break
    assert seen == everything


def test_pages_go_on_through_infinities_and_nan(db):
    batch = [value("m", v, step=0, at=1) for v in (INF, -INF, math.nan, 0.0, 1.5)]
    db.write_now(metrics.log_batch, KEY, "r1", batch, (), ())
    seen, token = [], None
    for _ in range(10):
        page, token = history(db, limit=1, token=token)
        seen += page
        if token is None:
            break
    assert seen == history(db)[0]
    assert len(seen) == 5


def test_bulk_reads_go_by_run(db):
    make_run(db, "a1")
    for run in ("r1", "a1"):
        db.write_now(metrics.log, KEY, run, [value("m", float(i), step=i, at=i) for i in range(5)])
    assert [(p.run, p.step) for p in db.read_now(metric_history.history_bulk, KEY, ["r1", "a1"], "m", 7)] == [("a1", i) for i in range(5)] + [("r1", 0), ("r1", 1)]


@pytest.mark.parametrize(("count", "limit"), [(1, 1), (10, 3), (1000, 100), (7, 100), (1000, 1), (1000, 2)])
def test_samples_are_even_and_keep_the_ends(db, count, limit):
    db.write_now(metrics.log, KEY, "r1", [value("m", float(i), step=i, at=i) for i in range(count)])
    steps = [p.step for p in db.read_now(metric_history.sampled, KEY, ["r1"], "m", limit, None, None)]
    assert len(steps) == min(limit, count)
    assert steps == sorted(set(steps))
    assert steps[-1] == count - 1
    if limit > 1:
        assert steps[0] == 0
        assert max((b - a for a, b in itertools.pairwise(steps)), default=0) <= 2 * -(-count // limit)


def test_samples_of_a_range(db):
    db.write_now(metrics.log, KEY, "r1", [value("m", float(i), step=i, at=i) for i in range(100)])
    assert [p.step for p in db.read_now(metric_history.sampled, KEY, ["r1"], "m", 1000, 10, 12)] == [10, 11, 12]
    assert db.read_now(metric_history.sampled, KEY, ["r1"], "m", 10, 200, 300) == []
    with pytest.raises(MlflowError, match="end_step"):
        db.read_now(metric_history.sampled, KEY, ["r1"], "m", 10, 3, 2)


def test_other_workspaces_and_unknown_models(db):
    with pytest.raises(MlflowError, match="not found"):
        db.write_now(metrics.log, OTHER.key, "r1", [value("m", 1.0)])
    with pytest.raises(MlflowError, match="Logged model with ID 'm-x' not found"):
        db.write_now(metrics.log, KEY, "r1", [Metric("m", 1, 0, 1.0, model="m-x")])
    assert latest(db) == {}


def test_many_writers_of_one_run_lose_nothing(db):
    """Ranks of a distributed job log into one run, some of them the same metric."""

    def write(rank):
        for step in range(25):
            db.write_now(metrics.log, KEY, "r1", [value("loss", float(step), step=step, at=rank), value(f"rank{rank}", float(step), step=step)])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert len(history(db, "loss")[0]) == 150
    found = latest(db)
    assert found["loss"] == (24, 5, 24.0)
    assert all(found[f"rank{rank}"] == (24, 1, 24.0) for rank in range(6))


class TestExtents:
    def test_how_far_each_run_has_come(self, db):
        make_run(db, "r2")
        make_run(db, "r3")
        db.write_now(metrics.log, KEY, "r1", [Metric("m", 10, 0, 3.0), Metric("m", 20, 1, -1.0), Metric("m", 30, 2, 2.0), Metric("other", 40, 9, 9.0)])
        db.write_now(metrics.log, KEY, "r2", [Metric("m", 10, 0, 0.0, nan=True)])
        found = db.read_now(metric_history.extents, KEY, ["r1", "r2", "r3", "nobody"], "m")
        assert found == {"r1": metric_history.Extent(2, 30, 2.0, -1.0, 3.0), "r2": metric_history.Extent(0, 10, 0.0, None, None)}
        assert db.read_now(metric_history.extents, KEY, ["r2"], "other") == {}


class TestPlaces:
    def test_the_greatest_step_of_each_metric_below_a_prefix(self, db):
        db.write_now(metrics.log, KEY, "r1", [value("system/a", 1, 5), value("system/a", 1, 3), value("system/n/b", 1, 7), value("systems", 1, 9), value("loss", 1, 9)])
        assert db.read_now(metric_history.steps, KEY, "r1", "system/") == {"system/a": 5, "system/n/b": 7}
        assert db.read_now(metric_history.steps, KEY, "r1", "sys%/") == {}

    def test_the_newest_values_with_their_times_and_steps(self, db):
        db.write_now(metrics.log, KEY, "r1", [value("m", 1, step, at) for at, step in ((10, 3), (20, 2), (30, 1), (40, 0))] + [value("n", 1, 0, 50)])
        assert db.read_now(metric_history.places, KEY, "r1", "m", 20, 10) == [(40, 0), (30, 1), (20, 2)]
        assert db.read_now(metric_history.places, KEY, "r1", "m", 0, 1) == [(40, 0)]

    def test_of_no_run(self, db):
        for call in ((metric_history.steps, "r9", "system/"), (metric_history.places, "r9", "m", 0, 1)):
            with pytest.raises(MlflowError):
                db.read_now(call[0], KEY, *call[1:])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors])
@given(st.lists(points, min_size=1, max_size=5))
def test_one_value_is_written_as_a_batch_of_one(db, values):
    """In a transaction of its own, in one with others, and as a batch."""
    ways = {way: f"{way}{uuid.uuid4().hex}" for way in ("alone", "among", "batch")}
    for run in ways.values():
        make_run(db, run)

    async def alone() -> None:
        for made in values:
            await db.write_small(metrics.log_one, KEY, ways["alone"], made)

    asyncio.run(alone())
    for made in values:
        db.write_now(metrics.log_one, KEY, ways["among"], made)
        db.write_now(metrics.log, KEY, ways["batch"], [made])
    for table in (tables.metric, tables.latest_metric):
        columns = [column for column in table.c if column.name != "run"]
        alone_, among, batch = (db.read_now(lambda tx, run=run: tx.execute(sa.select(*columns).where(table.c.run == runs.seq_of(tx, KEY, run)).order_by(*columns)).all()) for run in ways.values())  # noqa: B023
        assert alone_ == among == batch and batch


def test_one_value_for_what_is_not_there_or_in_the_bin(db):
    with pytest.raises(MlflowError, match="not found"):
        db.write_now(metrics.log_one, KEY, "nothing", value("m", 1.0))
    with pytest.raises(MlflowError, match="m-x"):
        db.write_now(metrics.log_one, KEY, "r1", Metric("m", 1, 0, 1.0, model="m-x"))
    db.write_now(runs.delete, KEY, "r1", 1.0)
    with pytest.raises(MlflowError, match="active"):
        db.write_now(metrics.log_one, KEY, "r1", value("m", 1.0))
