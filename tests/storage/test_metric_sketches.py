"""Sketches stand for the values they were made of, whatever comes when."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lazward.storage import metric_history, metric_sketches, metrics, runs, tables
from tests.storage.tracking_data import KEY, make_run, make_workspaces, value


@pytest.fixture(autouse=True)
def one_run(db, monkeypatch):
    make_workspaces(db)
    make_run(db, "r1")
    monkeypatch.setattr(metric_sketches, "SPAN", 40)
    monkeypatch.setattr(metric_sketches, "STRETCHES", 4)
    monkeypatch.setattr(metric_sketches, "EXACT", 100)


def sketches(tx):
    t = tables.metric_sketch
    return [tuple(row) for row in tx.execute(sa.select(t.c.upto, t.c.count, t.c.low_step, t.c.high_step).order_by(t.c.upto))]


def stored(tx):
    """(time, how many values) of the metric itself."""
    m = tables.metric
    return [tuple(row) for row in tx.execute(sa.select(m.c.at, sa.func.count()).group_by(m.c.at).order_by(m.c.at))]


def curve(db, first=-(2**63), last=2**63):
    seq = db.read_now(runs.get, KEY, "r1").seq
    return db.read_now(metric_sketches.curve, seq, "m", first, last)


def log(db, points):
    for start in range(0, len(points), 100):
        db.write_now(metrics.log, KEY, "r1", points[start : start + 100])


def test_a_long_curve_is_sketched_as_it_comes(db):
    log(db, [value("m", float(i % 7), step=i, at=i) for i in range(1000)])
    made = db.read_now(sketches)
    assert [row[:2] for row in made[:3]] == [(39, 40), (79, 40), (119, 40)]
    assert made[-1][0] >= 1000 - 3 * 40
    points = curve(db)
    assert points[0][:2] == (0, 0) and points[-1][:2] == (999, 999)
    assert len(points) < 500


def test_values_that_come_one_by_one_are_sketched_as_those_of_batches(db):
    make_run(db, "r2")
    values = [value("m", float(i % 7), step=i, at=i) for i in [*range(130), 5, 100, *range(130, 260)]]

    async def log_each() -> None:
        for one in values:
            await db.write_small(metrics.log_one, KEY, "r1", one)

    asyncio.run(log_each())
    mine = db.read_now(sketches)
    for one in values:
        db.write_now(metrics.log, KEY, "r2", [one])
    assert db.read_now(sketches) == sorted(mine * 2) and len(mine) > 2


def test_a_chart_of_a_range_is_exact_when_it_is_short(db):
    log(db, [value("m", float(i), step=i, at=i) for i in range(1000)])
    assert [row[1] for row in curve(db, 200, 260)] == list(range(200, 261))
    long = [row[1] for row in curve(db, 200, 700)]
    assert min(long) >= 200 and max(long) <= 700 and len(long) < 300


def test_a_spike_in_what_is_sketched_is_drawn(db):
    log(db, [value("m", 99.0 if i == 333 else 0.5, step=i, at=i) for i in range(1000)])
    assert (333, 99.0) in [(p.step, p.value) for p in db.read_now(metric_history.sampled, KEY, ["r1"], "m", 50, None, None)]


def test_a_value_that_comes_late_is_drawn_too(db):
    log(db, [value("m", 0.5, step=i, at=i) for i in range(1000)])
    log(db, [value("m", -7.0, step=5000, at=333)])
    assert [row for row in db.read_now(sketches) if row[0] >= 333 and row[3] == 5000], "what was sketched from there on is made again"
    assert (333, 5000, -7.0, 0) in [(*row[:3], int(row[3])) for row in curve(db)]
    log(db, [value("m", 0.5, step=i, at=i) for i in range(1000, 1400)])
    assert db.read_now(sketches)[-1][0] > 1000  # made again
    assert -7.0 in [row[2] for row in curve(db)]


@pytest.mark.parametrize("moments", [1, 2000], ids=["all of one moment", "each of its own"])
def test_what_is_not_sketched_is_never_held_whole(db, monkeypatch, moments):
    with monkeypatch.context() as without:
        without.setattr(metrics, "_SPANS", 0)
        log(db, [value("m", 99.0 if i == 777 else float(i % 7), step=i, at=i % moments) for i in range(2000)])
    assert db.read_now(sketches) == []
    points = curve(db)
    assert len(points) < 1000 and points == sorted(points)
    assert points[0][:2] == (0, 0) and points[-1][1] == 1999 and 99.0 in [row[2] for row in points]
    assert [row[1] for row in curve(db, 100, 150)] == list(range(100, 151)), "few of them are drawn as they are"
    assert curve(db, 5000, 6000) == []


def test_thousands_of_one_moment_are_one_sketch_and_only_when_they_are_over(db):
    log(db, [value("m", float(i), step=i, at=7) for i in range(500)])
    assert db.read_now(sketches) == []
    log(db, [value("m", float(i), step=500 + i, at=8) for i in range(100)])
    assert db.read_now(sketches)[0][:2] == (7, 500)
    assert len({row[1] for row in curve(db) if row[0] == 8}) == 100


def test_what_is_sent_twice_counts_once(db):
    batch = [value("m", float(i), step=i, at=i) for i in range(100)]
    for _ in range(5):
        log(db, batch)
    log(db, [value("m", float(i), step=i, at=i) for i in range(100, 300)])
    assert [row[1] for row in db.read_now(sketches)] == [40] * len(db.read_now(sketches))


def test_a_run_that_takes_over_has_the_sketches_and_one_that_goes_leaves_none(db):
    log(db, [value("m", float(i), step=i, at=i) for i in range(300)])
    make_run(db, "r2")
    db.write_now(metrics.take_over, KEY, "r1", "r2")
    mine = len(db.read_now(sketches))
    db.write_now(runs.delete_job_run, KEY, "r1", 1.0)
    assert len(db.read_now(sketches)) == mine // 2


batches = st.lists(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 60)), min_size=1, max_size=120), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches)
def test_every_sketch_is_of_the_values_up_to_its_time(db, batches):
    db.write_now(lambda tx: runs.delete_job_run(tx, KEY, "r1", 1.0))
    make_run(db, "r1")
    everything = set()
    for batch in batches:
        db.write_now(metrics.log, KEY, "r1", [value("m", float(step % 5), step=step, at=at) for at, step in batch])
        everything |= set(batch)
    before = -1
    for upto, count, low, high in db.read_now(sketches):
        mine = [(at, step) for at, step in everything if before < at <= upto]
        assert (count, low, high) == (len(mine), min(s for _, s in mine), max(s for _, s in mine))
        before = upto
    assert set((row[0], row[1]) for row in curve(db)) <= everything
    assert sum(n for _, n in db.read_now(stored)) == len(everything)
