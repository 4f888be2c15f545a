"""The life of a sweep, as one durable task per sweep. Its trials are jobs of their own (children.py) with tasks of their own, so this
one only looks at them, decides (domain/sweeps/machine.py) and asks: start this one, stop that one.

All it must remember is in the trials' documents. A worker that takes over reads them and goes on: a trial has its number and its point
for ever, so none is run twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from functools import partial

from lazward.contract.envelope import timestamp
from lazward.contract.errors import ArmError
from lazward.domain.sweeps.machine import Effect, End, Start, Stop, decide
from lazward.domain.sweeps.plan import Sweep, read_sweep
from lazward.domain.sweeps.policies import due, verdicts
from lazward.domain.sweeps.sampling import grid_point, random_point, sobol_point
from lazward.domain.tracking.status import JOB_OVER
from lazward.orchestration import children
from lazward.orchestration.bayesian import Past, ask
from lazward.orchestration.data import ARTIFACTS, account_of, run_folder
from lazward.orchestration.durable import Outcome, Work, handler
from lazward.orchestration.job_finish import set_state
from lazward.orchestration.job_prepare import remove_tree
from lazward.orchestration.jobs import load_job, request_cancel
from lazward.orchestration.logs import LineLog, LogPump, from_file
from lazward.orchestration.runtime import Runtime, first_of
from lazward.orchestration.sweep_finish import error_of, metrics_of, take_outputs, write_end
from lazward.orchestration.sweep_trials import (
    best_of,
    front_of,
    past_of,
    settle,
    state_of,
    stop_trial,
    submit_trial,
    trial_of,
)
from lazward.storage import metric_history, resources, tasks
from lazward.storage.db import Tx
from lazward.storage.resources import Row
from lazward.storage.tasks import Task

log = logging.getLogger("lazward.worker")

POLL_S, METRICS_POLL_S = 5.0, 1.0  # the second while a policy looks at what running trials log; the end of a trial wakes us at once
AT_ONCE = 16  # trials submitted in one transaction
REASONS = {"timeout": "the sweep has reached its limits.timeout", "failures": "the sweep is given up: all its first trials failed"}


def _fail(tx: Tx, task: Task, error: ArmError, now: float) -> None:
    """The handler raised: the sweep says why, its trials are stopped."""

    def word(row: Row) -> None:
        row.properties["error"] = error.as_dict()

    set_state(tx, task.subject, "Failed", now, word)
    for row in children.of(tx, task.subject):
        if row.properties["status"] not in JOB_OVER:
            request_cancel(tx, row.key, now)
    tasks.enqueue(tx, "job.clear", task.subject, {"attempt": 0}, now)


@handler("sweep.run", on_failure=_fail, tries=9)
async def run_sweep(work: Work) -> Outcome:
    runtime: Runtime = work.services

    job, workspace = await load_job(runtime, work.subject)
    try:
        if job is not None and workspace is not None and job.properties["status"] not in JOB_OVER:
            await _Running(work, runtime, job, workspace).to_the_end()
        await asyncio.to_thread(remove_tree, _logs(runtime, work.subject))
        return Outcome()
    finally:
        runtime.canceled.pop(work.subject, None)
        runtime.stirred.pop(work.subject, None)


def _logs(runtime: Runtime, key: str):
    folder = runtime.folder("jobs", key)
    return folder.with_name(folder.name + ".logs")


class _Running:
    """A sweep in the hands of this worker. rows: its trials' documents by number, as far as seen."""

    def __init__(self, work: Work, runtime: Runtime, job: Row, workspace: Row):
        self.work = work
        self.runtime = runtime
        self.job = job
        self.seen = job  # as last seen
        self.workspace = workspace
        self.sweep: Sweep = read_sweep(job.properties)[0]
        self.seed = job.key if self.sweep.seed is None else str(self.sweep.seed)
        self.rows: dict[int, Row] = {}
        self.extents: dict[str, metric_history.Extent] = {}  # by trial's name, when its history was read
        self.histories: dict[str, list[float]] = {}
        self.judged: dict[str, int] = {}  # the last interval a trial was judged at; after a restart it is judged there once more
        self.say = LineLog(_logs(runtime, job.key) / "hyperdrive.txt", lambda: timestamp(work.now()))

    async def to_the_end(self) -> None:
        work, account = self.work, account_of(self.workspace)
        await self.runtime.blobs.ensure_container(account, ARTIFACTS)
        # The one log of a sweep that the SDK streams.
        pump = LogPump(self.runtime.blobs, account, ARTIFACTS, {f"{run_folder(self.job.name)}/azureml-logs/hyperdrive.txt": from_file(self.say.path)}, self.runtime.log_gate)
        trials = await self.runtime.db.read(children.of, self.job.key)  # what the workers before this one have submitted
        self.rows = dict(sorted((trial_of(row)["number"], row) for row in trials))
        async with pump.running():
            if work.state["phase"] == "queued":
                await self._begin()
            end = End(**work.state["end"]) if work.state["phase"] == "finishing" else await self._until_end()
            await self._look()
            best = best_of(self.rows, self.sweep.maximize)
            error = await self._finishing(end, best)
        if error is not None and end.status == "Completed":
            end = End("Failed", error.code)
        now = work.now()
        await work.checkpoint(lambda tx: self._write_end(tx, end, best, error, now), phase="ended")

    async def _begin(self) -> None:
        now, sweep = self.work.now(), self.sweep
        goal = "maximize" if sweep.maximize else "minimize"
        self.say(f"sweep of up to {sweep.plan.total} trials, {sweep.plan.concurrent} at once, to {goal} '{sweep.metric}' by {sweep.algorithm} sampling")

        def facts(row: Row) -> None:
            row.properties["properties"] |= {"primary_metric_config": json.dumps({"name": sweep.metric, "goal": goal})}

        await self.work.checkpoint(lambda tx: set_state(tx, self.job.key, "Running", now, facts), phase="running", started=now)

    async def _until_end(self) -> End:
        stir, cancel = self.runtime.stir_event(self.job.key), self.runtime.cancel_event(self.job.key)
        while True:
            stir.clear()
            canceled = await self._look() or cancel.is_set()
            await self._settle()
            left = self._time_left()
            unfit = {} if canceled else await self._unfit()
            trials = [state_of(row) for row in self.rows.values()]
            effects = decide(self.sweep.plan, trials, canceled=canceled, timed_out=left <= 0, unfit=frozenset(unfit))
            for effect in effects:
                if isinstance(effect, End):
                    await self.work.checkpoint(phase="finishing", end={"status": effect.status, "code": effect.code})
                    return effect
            await self._do(effects, unfit)
            if any(isinstance(effect, Start) for effect in effects) and self._room():
                continue  # more to start than one transaction takes
            poll = METRICS_POLL_S if self.sweep.policy else POLL_S
            await first_of(stir, None if canceled else cancel, timeout=min(poll, left) if left > 0 else poll)

    def _room(self) -> bool:
        live = sum(state_of(row).state in ("live", "stopping") for row in self.rows.values())
        return live < self.sweep.plan.concurrent and max(self.rows, default=-1) + 1 < self.sweep.plan.total

    def _time_left(self) -> float:
        if self.sweep.timeout is None:
            return math.inf
        return self.work.state["started"] + self.sweep.timeout - self.work.now()

    async def _look(self) -> bool:
        """Reads what has changed of the trials; whether the sweep is asked to stop."""
        live = {row.key: row for row in self.rows.values() if row.properties["status"] not in JOB_OVER}
        job, changed, gone = await self.runtime.db.read(children.news, self.seen, live)
        self.seen = job or self.seen
        self.rows |= {trial_of(row)["number"]: row for row in changed}
        for key in gone:  # somebody has deleted it
            live[key].properties["status"] = "Canceled"
        return job is None or job.properties["status"] == "CancelRequested"

    async def _settle(self) -> None:
        """Takes in the ends of trials that are new."""
        for number, row in list(self.rows.items()):
            if row.properties["status"] not in JOB_OVER or trial_of(row).get("settled"):
                continue
            now = self.work.now()
            await self.work.checkpoint(lambda tx, key=row.key, now=now: settle(tx, key, self.sweep, now))
            settled = await self.runtime.db.read(resources.get, row.key)
            if settled is None:  # somebody has deleted the trial: it ended, and is nobody's best
                trial_of(row)["settled"] = True
                settled = row
            self.rows[number] = settled
            facts, status = trial_of(settled), settled.properties["status"]
            why = f" ({(settled.properties.get('error') or {}).get('message', '')[:300]})" if status == "Failed" else f" ({facts['stopped']})" if facts.get("stopped") else ""
            self.say(f"{settled.name} {status.lower()}: {self.sweep.metric} = {facts.get('score')}{why}".replace("\n", " "))

    async def _unfit(self) -> dict[int, str]:
        """Number and reason of the running trials that the policy gives up."""
        policy = self.sweep.policy
        running = [row for row in self.rows.values() if row.properties["status"] == "Running"]
        if policy is None or not running:
            return {}
        await self.runtime.db.read(self._read_metrics)
        fresh = [r.name for r in running if due(policy, len(self.histories.get(r.name, ()))) > self.judged.get(r.name, 0)]
        completed = {row.name for row in self.rows.values() if row.properties["status"] == "Completed"}
        found = verdicts(policy, self.sweep.maximize, self.histories, fresh, completed)
        self.judged |= {name: due(policy, len(self.histories[name])) for name in fresh}
        numbers = {row.name: number for number, row in self.rows.items()}
        return {numbers[verdict.trial]: verdict.reason for verdict in found}

    def _read_metrics(self, tx: Tx) -> None:
        """Histories of the primary metric, of those trials that have logged since the last look."""
        names = [row.name for row in self.rows.values()]
        now = metric_history.extents(tx, self.job.scope, names, self.sweep.metric)
        for name, extent in now.items():
            if self.extents.get(name) != extent:
                points, _ = metric_history.history(tx, self.job.scope, name, self.sweep.metric, None, None)
                self.histories[name] = [math.nan if p.nan else p.value for p in points]
        self.extents = now

    async def _do(self, effects: list[Effect], unfit: dict[int, str]) -> None:
        now = self.work.now()
        stops = [effect for effect in effects if isinstance(effect, Stop)]
        if stops:
            await self.work.checkpoint(lambda tx: self._stop(tx, stops, unfit, now))
        starts = [effect.number for effect in effects if isinstance(effect, Start)][:AT_ONCE]
        points: dict[int, dict[str, float]] = {}
        for number in starts:
            points[number] = await self._point(number, points)
        if points:
            started: list[Row] = []

            def start(tx: Tx) -> None:
                started[:] = [submit_trial(tx, self.runtime.settings, self.job, self.sweep, number, point, now) for number, point in points.items()]

            await self.work.checkpoint(start)
            for row in started:
                self.rows[trial_of(row)["number"]] = row
                self.say(f"{row.name} started: {json.dumps(trial_of(row)['values'])}")

    def _stop(self, tx: Tx, stops: list[Stop], unfit: dict[int, str], now: float) -> None:
        for effect in stops:
            key = self.rows[effect.number].key
            if effect.reason == "canceled":
                request_cancel(tx, key, now)
            else:
                stop_trial(tx, key, unfit.get(effect.number) or REASONS[effect.reason], now)

    async def _point(self, number: int, asked: dict[int, dict[str, float]]) -> dict[str, float]:
        """asked: points of trials that are about to be submitted with this one."""
        space = self.sweep.space
        if self.sweep.algorithm == "grid":
            return grid_point(space, number)
        if self.sweep.algorithm == "sobol":
            return sobol_point(space, self.seed, number)
        if self.sweep.algorithm == "random":
            return random_point(space, self.seed, number)
        past = [past_of(row) for row in self.rows.values()] + [Past(n, space.active(p), False, ()) for n, p in asked.items()]
        return await asyncio.to_thread(partial(ask, space, self.seed, self.sweep.goals, past, number))

    async def _finishing(self, end: End, best: Row | None) -> ArmError | None:
        now = self.work.now()
        await self.work.checkpoint(lambda tx: set_state(tx, self.job.key, "Finalizing", now))
        logged = await self.runtime.db.read(metrics_of, self.rows)
        error = error_of(end, self.job, self.rows, self.sweep, best, logged)
        if best is not None:
            self.say(f"best trial: {best.name} with {self.sweep.metric} = {trial_of(best)['score']}, {json.dumps(trial_of(best)['values'])}")
            try:
                await take_outputs(self.runtime, self.workspace, self.job, best)
            except ArmError as problem:
                error = error or problem
        self.say(f"sweep ended: {error.message}" if error else f"sweep ended: {end.status}")
        return error

    def _write_end(self, tx: Tx, end: End, best: Row | None, error: ArmError | None, now: float) -> None:
        front = front_of(self.rows, self.sweep) if self.sweep.others else []
        set_state(tx, self.job.key, end.status, now, lambda row: write_end(tx, row, self.workspace, end, best, front, error, now))
