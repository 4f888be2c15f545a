"""The same runs in every server's own tables, written by SQL: to log a hundred thousand of them through the slowest takes days. Lazward's
long curve alone is logged, since it makes of what is logged what its charts are drawn from.

Run i has 3 metrics, 5 params and 3 tags; one more run has a curve of many points. Values follow from i alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import psycopg

from bench.tracking.servers import Lazward, Tracker

BEGAN_MS = 1_700_000_000_000
METRICS, PARAMS = ("loss", "acc", "f1"), ("lr", "depth", "batch", "optimizer", "seed")
CURVE = "curve"
Rows = Iterable[Sequence[Any]]


def run_id(i: int) -> str:
    return hashlib.md5(f"run {i}".encode()).hexdigest()


def value(i: int, key: str) -> float:
    """Even over [0, 1)."""
    return int(hashlib.md5(f"{key} {i}".encode()).hexdigest()[:8], 16) / 2**32


def params(i: int) -> list[tuple[str, str]]:
    return [("lr", f"{value(i, 'lr'):.4f}"), ("depth", str(i % 10)), ("batch", str(2 ** (i % 8))), ("optimizer", ("adam", "sgd", "lion")[i % 3]), ("seed", str(i))]


def tags(i: int) -> list[tuple[str, str]]:
    return [("mlflow.runName", f"run-{i}"), ("team", f"team-{i % 7}"), ("mlflow.source.name", "train.py")]


def fill(server: Tracker, first: int, count: int, points: int) -> str:
    """Adds runs first..first+count-1, and one with a curve of `points` if there are any; the id of that one."""
    with _Bulk(server.database) as bulk:
        if isinstance(server, Lazward):
            _lazward(bulk, server.workspace, first, count, points)
        else:
            _mlflow_like(bulk, server.name == "FastTrackML", first, count, points)
    if points and isinstance(server, Lazward):
        _log_curve(server, points)
    return run_id(-1)


def _log_curve(server: Lazward, points: int) -> None:
    values = curve(points)
    with contextlib.closing(server.connect()) as connection:
        while some := [{"key": CURVE, "value": v, "timestamp": BEGAN_MS + p, "step": p} for p, v in islice(values, 1000)]:
            connection.send(server.request("POST", "/api/2.0/mlflow/runs/log-batch", json.dumps({"run_id": run_id(-1), "metrics": some}).encode()))


class _Bulk:
    """Rows into tables as fast as the database takes them."""

    def __init__(self, database: str):
        self.sqlite = database.startswith("sqlite")
        self.connection: Any = sqlite3.connect(database.removeprefix("sqlite:///")) if self.sqlite else psycopg.connect(database.replace("+psycopg2", "").replace("+psycopg", ""))

    def __enter__(self) -> _Bulk:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.commit()
        if not self.sqlite:
            self.connection.autocommit = True
            self.connection.execute("VACUUM ANALYZE")
        self.connection.close()

    def add(self, table: str, columns: str, rows: Rows) -> None:
        if self.sqlite:
            marks = ", ".join("?" for _ in columns.split(","))
            self.connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
            return
        with self.connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def one(self, statement: str) -> Any:
        return self.connection.execute(statement).fetchone()[0]


def _lazward(bulk: _Bulk, workspace: str, first: int, count: int, points: int) -> None:
    experiment = bulk.one(f"SELECT seq FROM experiment WHERE workspace = '{workspace}' AND id = '0'")
    start = (bulk.one("SELECT coalesce(max(seq), 0) FROM run")) + 1
    numbers = [*range(first, first + count), *([-1] if points else [])]
    seq = {i: start + at for at, i in enumerate(numbers)}
    no = 0 if bulk.sqlite else False
    bulk.add(
        "run", 'seq, workspace, id, experiment, name, status, stage, is_job, "user", started, ended',
        ((seq[i], workspace, run_id(i), experiment, f"run-{i}", "FINISHED", "active", no, "me", (BEGAN_MS + i * 1000) / 1000, (BEGAN_MS + i * 1000 + 500) / 1000) for i in numbers),
    )
    if not bulk.sqlite:
        bulk.connection.execute("SELECT setval(pg_get_serial_sequence('run', 'seq'), (SELECT max(seq) FROM run))")
    bulk.add("param", "run, key, value", ((seq[i], k, v) for i in numbers for k, v in params(i)))
    bulk.add("run_tag", "run, key, value", ((seq[i], k, v) for i in numbers for k, v in tags(i)))
    bulk.add("metric", "run, key, at, step, value, nan", ((seq[i], k, BEGAN_MS, 0, value(i, k), no) for i in numbers for k in METRICS))
    bulk.add(
        "latest_metric", "run, key, step, at, value, nan, low, high",
        ((seq[i], k, 0, BEGAN_MS, value(i, k), no, value(i, k), value(i, k)) for i in numbers for k in METRICS),
    )


def _mlflow_like(bulk: _Bulk, fasttrack: bool, first: int, count: int, points: int) -> None:
    numbers = [*range(first, first + count), *([-1] if points else [])]
    no: Any = 0 if bulk.sqlite else False
    context, extra = (bulk.one("SELECT min(id) FROM contexts"), ", row_num") if fasttrack else (None, "")
    root = "file:///tmp/artifacts"

    def run_rows() -> Iterator[Sequence[Any]]:
        for at, i in enumerate(numbers):
            began = BEGAN_MS + i * 1000
            row = (run_id(i), f"run-{i}", "UNKNOWN", "train.py", "", "me", "FINISHED", began, began + 500, "", "active", f"{root}/{run_id(i)}/artifacts", 0)
            yield (*row, first + at) if fasttrack else row

    bulk.add("runs", f"run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id{extra}", run_rows())
    if fasttrack:
        bulk.add("params", "run_uuid, key, value_str", ((run_id(i), k, v) for i in numbers for k, v in params(i)))
    else:
        bulk.add("params", "run_uuid, key, value", ((run_id(i), k, v) for i in numbers for k, v in params(i)))
    bulk.add("tags", "run_uuid, key, value", ((run_id(i), k, v) for i in numbers for k, v in tags(i)))
    more = (lambda at: (at, context)) if fasttrack else (lambda at: ())
    columns, latest = (", iter, context_id", ", last_iter, context_id") if fasttrack else ("", "")
    bulk.add("metrics", f"run_uuid, key, timestamp, step, value, is_nan{columns}", ((run_id(i), k, BEGAN_MS, 0, value(i, k), no, *more(1)) for i in numbers for k in METRICS))
    bulk.add("latest_metrics", f"run_uuid, key, timestamp, step, value, is_nan{latest}", ((run_id(i), k, BEGAN_MS, 0, value(i, k), no, *more(1)) for i in numbers for k in METRICS))
    if points:
        bulk.add("metrics", f"run_uuid, key, timestamp, step, value, is_nan{columns}", ((run_id(-1), CURVE, BEGAN_MS + p, p, v, no, *more(p + 1)) for p, v in curve(points)))
        *_, (p, v) = curve(points)
        bulk.add("latest_metrics", f"run_uuid, key, timestamp, step, value, is_nan{latest}", [(run_id(-1), CURVE, BEGAN_MS + p, p, v, no, *more(p + 1))])


def curve(points: int) -> Iterator[tuple[int, float]]:
    """A falling line with noise and one spike that a chart must show."""
    for p in range(points):
        yield p, 9.0 if p == points // 3 else 1 - p / points + (p * 7919 % 101) / 1000
