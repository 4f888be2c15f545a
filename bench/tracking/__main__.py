"""Lazward's tracking beside MLflow's own server and FastTrackML, all in one run on one machine: `python -m bench.tracking`.

Each server runs on SQLite and on PostgreSQL, started as its makers say. Lazward is asked over TLS with a token, which it checks, the
others over plain HTTP by anybody. Servers have their turns one after the other; meanwhile the processes of the others are stopped, since
MLflow's are never idle. Writes: one client on a kept connection (and sixteen). Searches, on a connection that has been used: the first page of
100 runs, without a filter, and with one over a metric and a param ordered by the metric; a page of 1000; then all of them. The chart: at
most 1000 points of a curve of a million, by the call each server's own charts make. Memory: all processes of a server, what several
share counted once, after all of the above (of the peers before the chart). Runs that are searched are written into the tables by SQL, the same for all.

BENCH_TRACKING=sqlite or postgresql runs one half; BENCH_PEERS=mlflow,fasttrackml names the peers that are wanted.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench.measure import Row, main
from bench.own_environment import own_environment
from bench.tracking.fill import BEGAN_MS, CURVE, fill, run_id
from bench.tracking.servers import Tracker, fasttrackml, lazward, mlflow, postgres_databases
from bench.wire import Connection, rate

PEERS = ("mlflow", "fasttrackml")
SEARCH = "/api/2.0/mlflow/runs/search"
FILTER = {"filter": "metrics.loss < 0.5 and params.depth = '3'", "order_by": ["metrics.loss ASC"]}


def rows(quick: bool) -> list[Row]:
    databases = [os.environ["BENCH_TRACKING"]] if "BENCH_TRACKING" in os.environ else ["sqlite", "postgresql"]
    wanted = [name for name in os.environ.get("BENCH_PEERS", ",".join(PEERS)).split(",") if name]
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="peers") as folder:
        pythons = {}
        if "mlflow" in wanted:
            pythons["mlflow"] = own_environment(Path(folder) / "mlflow", "mlflow", "psycopg2-binary")
        if "fasttrackml" in wanted:
            pythons["fasttrackml"] = own_environment(Path(folder) / "fasttrackml", "--no-deps", "fasttrackml")  # a binary; what it depends on is for clients
        for database in databases:
            with contextlib.ExitStack() as stack:
                urls = stack.enter_context(postgres_databases("lazward", *pythons)) if database == "postgresql" else {}
                servers: list[Tracker] = [stack.enter_context(lazward(urls.get("lazward", "")))]
                if "fasttrackml" in pythons:
                    servers.append(stack.enter_context(fasttrackml(pythons["fasttrackml"], urls.get("fasttrackml", ""))))
                if "mlflow" in pythons:
                    servers.append(stack.enter_context(mlflow(pythons["mlflow"], urls.get("mlflow", ""))))
                found += of_database("SQLite" if database == "sqlite" else "PostgreSQL", servers, quick)
    return found


def of_database(label: str, servers: list[Tracker], quick: bool) -> list[Row]:
    found: list[Row] = []

    def add(what: str, samples: dict[str, list[float]], unit: str, aim: str = "") -> None:
        ours = samples[servers[0].name]
        for peer in servers[1:] or [None]:
            its = samples.get(peer.name, []) if peer else []
            found.append(Row(f"{label}: {what}", ours, peer.name if peer and its else "", its, unit, aim))
            print(found[-1].markdown(), file=sys.stderr, flush=True)

    add("start to the first answer", {s.name: [s.started] for s in servers}, "s")
    seconds, rounds = (0.3, 1) if quick else (2.0, 3)
    for server in servers:
        with server.turn():
            answer = server.call("POST", "/api/2.0/mlflow/experiments/create", b'{"name": "written by the benchmark"}')
            server.written = json.loads(answer)["experiment_id"]
    for what, make in WRITES.items():
        for clients in (1, 16):
            name = f"{what}, {clients} client{'s' if clients > 1 else ''}"
            add(name, in_turn(servers, partial(writing, clients, make, {}, seconds), rounds), "/s", "3x FastTrackML, 50x mlflow" if clients == 1 else "")
    done = 0
    points = 20_000 if quick else 1_000_000
    for count in (1500, 3000) if quick else (10_000, 100_000):
        for server in servers:
            with server.turn():
                fill(server, done, count - done, points if done else 0)
        for what, body in SEARCHES.items():
            aim = "faster than both" if count < 100_000 or what != "a page of 1000 runs" else "faster than both, under 200 ms"
            add(f"{what} of {count}", in_turn(servers, partial(search, body), 2 if quick else 7), "ms", aim)
        done = count
    whole = [s for s in servers if quick or not s.name.startswith("mlflow")]
    add(f"all {done} runs, in pages of 1000", in_turn(whole, everything, 1), "s")
    memory = {s.name: [s.memory()] for s in servers}  # before the curve, of which FastTrackML 0.6.0 dies
    add(f"1000 points of a curve of {points}", in_turn(servers, chart, 2 if quick else 5), "ms", "under 300 ms")
    memory[servers[0].name] = [servers[0].memory()]
    add("memory at the end", memory, "MiB", "under 200 MiB")
    return found


def in_turn(servers: list[Tracker], measure: Callable[[Tracker], float], rounds: int) -> dict[str, list[float]]:
    """What each server measures, by its name; nothing of a peer that cannot do it."""
    found: dict[str, list[float]] = {server.name: [] for server in servers}
    able = list(servers)
    for _ in range(rounds):
        for server in list(able):
            try:
                with server.turn():
                    found[server.name].append(measure(server))
            except (RuntimeError, OSError) as error:
                if server is servers[0]:
                    raise
                print(f"{server.name} cannot: {str(error)[-300:]}", file=sys.stderr)
                able.remove(server)
                found[server.name] = []
    return found


# ---- writes ---------------------------------------------------------------------------------------------------------------


def writing(clients: int, make: Callable[[Tracker], Iterator[bytes]], requests: dict[str, Iterator[bytes]], seconds: float, server: Tracker) -> float:
    """Answers a second. requests: by server, made at its first turn. On connections of their own: FastTrackML ends those that rest for long."""
    if server.name not in requests:
        requests[server.name] = make(server)
    with contextlib.ExitStack() as stack:
        return rate([stack.enter_context(contextlib.closing(server.connect())) for _ in range(clients)], requests[server.name], seconds)


RUNS = 16  # that clients log to, one after the other (FastTrackML on PostgreSQL dies of deadlocks when they share one)


def _runs(server: Tracker) -> list[str]:
    def made() -> str:
        body = {"experiment_id": server.written, "start_time": int(time.time() * 1000), "run_name": uuid.uuid4().hex}
        return json.loads(server.call("POST", "/api/2.0/mlflow/runs/create", json.dumps(body).encode()))["run"]["info"]["run_id"]

    return [made() for _ in range(RUNS)]


def log_metric(server: Tracker) -> Iterator[bytes]:
    runs = _runs(server)

    def metric(n: int) -> bytes:
        body = {"run_id": runs[n % RUNS], "key": "loss", "value": n * 0.5, "timestamp": BEGAN_MS + n, "step": n}
        return server.request("POST", "/api/2.0/mlflow/runs/log-metric", json.dumps(body).encode())

    return map(metric, itertools.count())


def log_batch(server: Tracker) -> Iterator[bytes]:
    """Ten metrics, a hundred steps each; every batch has steps and a time of its own. (Filled into one text: to write it anew would take
    the client as long as the server takes to store it.)"""
    metrics = [{"key": f"m{at % 10}", "value": at * 0.5, "timestamp": 7_000_000_000_000, "step": 8_000_000_000_000 + at // 10} for at in range(1000)]
    texts = [json.dumps({"run_id": run, "metrics": metrics}).encode() for run in _runs(server)]

    def batch(n: int) -> bytes:
        text = texts[n % RUNS].replace(b"7000000000000", b"%d" % (BEGAN_MS + n)).replace(b" 80000000000", b" %d" % (10_000_000_000 + n))
        return server.request("POST", "/api/2.0/mlflow/runs/log-batch", text)

    return map(batch, itertools.count())


def create_run(server: Tracker) -> Iterator[bytes]:
    body = json.dumps({"experiment_id": server.written, "start_time": BEGAN_MS, "run_name": "made", "tags": [{"key": "mlflow.user", "value": "me"}, {"key": "mlflow.source.name", "value": "train.py"}]}).encode()
    return itertools.repeat(server.request("POST", "/api/2.0/mlflow/runs/create", body))


def log_param(server: Tracker) -> Iterator[bytes]:
    runs = _runs(server)
    return map(lambda n: server.request("POST", "/api/2.0/mlflow/runs/log-parameter", json.dumps({"run_id": runs[n % RUNS], "key": f"p{n}", "value": "1"}).encode()), itertools.count())


WRITES: dict[str, Callable[[Tracker], Iterator[bytes]]] = {"log_metric": log_metric, "log_batch of 1000 metrics": log_batch, "create_run": create_run, "log_param": log_param}

# ---- reads ----------------------------------------------------------------------------------------------------------------

SEARCHES = {"100 runs": {"max_results": 100}, "100 runs by filter and order": {"max_results": 100, **FILTER}, "a page of 1000 runs": {"max_results": 1000}}


def _used(server: Tracker) -> Connection:
    """A connection with an answer behind it, as clients keep theirs."""
    connection = server.connect()
    connection.send(server.request("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0"))
    return connection


def _search(server: Tracker, body: dict) -> tuple[float, dict]:
    """Milliseconds, and the answer."""
    connection = _used(server)
    try:
        prepared = server.request("POST", SEARCH, json.dumps({"experiment_ids": ["0"], **body}).encode())
        began = time.perf_counter()
        answer = connection.send(prepared)
        return (time.perf_counter() - began) * 1000, json.loads(answer)
    finally:
        connection.close()


def search(body: dict, server: Tracker) -> float:
    took, answer = _search(server, body)
    wanted = body["max_results"]
    assert "filter" in body or len(answer["runs"]) == wanted, (server.name, len(answer["runs"]))
    assert answer["runs"]
    return took


def everything(server: Tracker) -> float:
    """Seconds for every page of 1000 (FastTrackML 0.6.0 refuses its own token after 10,000)."""
    total, token = 0.0, ""
    while True:
        took, answer = _search(server, {"max_results": 1000, **({"page_token": token} if token else {})})
        total += took / 1000
        token = answer.get("next_page_token", "")
        if not token:
            return total


def chart(server: Tracker) -> float:
    connection = _used(server)
    run = run_id(-1)
    if server.name == "FastTrackML":
        asked = {"q": f'run.hash == "{run}"', "steps": 1000, "report_progress": False, "metrics": [{"key": CURVE, "context": {}}]}
        prepared = server.request("POST", "/aim/api/runs/search/metric", json.dumps(asked).encode())
    else:
        prepared = server.request("GET", f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={run}&metric_key={CURVE}&max_results=1000")
    began = time.perf_counter()
    answer = connection.send(prepared)
    took = (time.perf_counter() - began) * 1000
    connection.close()
    assert len(answer) > 4_000, answer[:500]
    return took


if __name__ == "__main__":
    main(rows, __doc__)
