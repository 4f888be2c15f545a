"""A pipeline, as one durable task: it submits a child job for every step as soon as what the step needs is there.

Its memory is its children (children.py). A worker that takes over reads them, replays them into a fresh machine and goes on; the
child of a step has a fixed name, so no step is submitted twice. Conditions and loops are worked out again from what the steps left.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from lazward.contract.envelope import timestamp
from lazward.contract.errors import ArmError
from lazward.domain.pipelines.graph import STEPS, Graph, build
from lazward.domain.pipelines.machine import Progress, restore
from lazward.domain.pipelines.steps import component_id
from lazward.domain.tracking.status import JOB_OVER
from lazward.orchestration import children
from lazward.orchestration.data import ARTIFACTS, account_of, run_folder
from lazward.orchestration.durable import Outcome, Work, handler
from lazward.orchestration.job_finish import set_state
from lazward.orchestration.job_prepare import remove_tree
from lazward.orchestration.jobs import load_job, request_cancel
from lazward.orchestration.logs import LineLog, LogPump
from lazward.orchestration.pipeline_check import Components
from lazward.orchestration.pipeline_end import finish
from lazward.orchestration.pipeline_loops import Loops
from lazward.orchestration.pipeline_steps import Steps
from lazward.orchestration.pipeline_values import Values
from lazward.orchestration.runtime import Runtime, first_of
from lazward.storage.db import Tx
from lazward.storage.resources import Row
from lazward.storage.tasks import Task

log = logging.getLogger("lazward.worker")

ACTIVE = 64  # children of one pipeline that are submitted and not over; the rest waits in the machine, not in the queue
POLL_S = 5.0  # the end of a child is told at once; this is the safety net
ENDS = {"Completed": "completed", "Failed": "failed", "Canceled": "canceled"}


def _fail(tx: Tx, task: Task, error: ArmError, now: float) -> None:
    """The handler raised: the pipeline says why, and nothing of it runs on."""

    def word(row: Row) -> None:
        row.properties["error"] = error.as_dict()

    set_state(tx, task.subject, "Failed", now, word)
    for child in children.of(tx, task.subject):
        request_cancel(tx, child.key, now)


@handler("pipeline.run", on_failure=_fail, tries=9)
async def run_pipeline(work: Work) -> Outcome:
    runtime: Runtime = work.services
    job, workspace = await load_job(runtime, work.subject)
    folder = runtime.folder("jobs", work.subject)
    logs = folder.with_name(folder.name + ".logs")
    if job is None or workspace is None or job.properties["status"] in JOB_OVER:
        await asyncio.to_thread(remove_tree, logs)
        return Outcome()
    attempt = (job.doc.get("lazward") or {}).get("attempt", 1)
    name = "executionlogs.txt" if attempt == 1 else f"executionlogs_{attempt}.txt"
    told = LineLog(logs / name, lambda: timestamp(work.now()))
    pump = LogPump(runtime.blobs, account_of(workspace), ARTIFACTS, {f"{run_folder(job.name)}/logs/azureml/{name}": told.path})
    await runtime.blobs.ensure_container(account_of(workspace), ARTIFACTS)
    now = work.now()
    await work.checkpoint(lambda tx: set_state(tx, work.subject, "Running", now) and None, phase="running")
    async with pump.running():
        run = await PipelineRun.open(work, runtime, job, workspace, told)
        end = await run.to_its_end()
        told(f"the pipeline has {end}: {run.summary()}")
    await finish(work, runtime, job, workspace, run, end)
    runtime.stirred.pop(work.subject, None)
    runtime.canceled.pop(work.subject, None)
    await asyncio.to_thread(remove_tree, logs)
    return Outcome()


class PipelineRun:
    def __init__(self, work: Work, runtime: Runtime, job: Row, workspace: Row, graph: Graph, specs: dict[str, dict[str, Any]], told: LineLog):
        settings = job.properties.get("settings") or {}
        self.work = work
        self.runtime = runtime
        self.job = job
        self.graph = graph
        self.told = told
        self.progress = Progress(graph, keep_going=bool(settings.get("continue_on_step_failure")))
        self.values = Values(runtime, workspace, job, specs)
        self.steps = Steps(runtime, workspace, job, self.values, work.now)
        self.loops = Loops(self.steps, self.values)
        self.errors: dict[str, ArmError] = {}  # of steps that could not be submitted
        self._seen = job  # as last seen
        self._known: dict[str, str] = {}  # status of each child that is over
        self._nodes: dict[str, str] = {}
        self._told_to_stop: set[str] = set()
        self._open: dict[str, Row] = {}  # children that are not over, as last seen
        self._over_at_once: list[Row] = []  # reused ones, to be taken in

    @classmethod
    async def open(cls, work: Work, runtime: Runtime, job: Row, workspace: Row, told: LineLog) -> PipelineRun:
        graph, problems = build(job.properties["jobs"])
        if problems:
            raise problems[0]

        def load(tx: Tx) -> dict[str, dict[str, Any]]:
            components = Components(tx, workspace)
            return {n.name: components.spec(component_id(n), f"jobs.{n.name}") for n in graph.nodes.values() if n.kind in STEPS}

        specs = await runtime.db.read(load)
        run = cls(work, runtime, job, workspace, graph, specs, told)
        await asyncio.to_thread(run._mark_optional)
        await run._remember()
        return run

    def _mark_optional(self) -> None:
        for node in self.graph.runnable():
            if node.kind in STEPS:
                node.optional_needs |= self.steps.optional_needs(node)

    async def _remember(self) -> None:
        """What the workers before this one have submitted."""
        rows = await self.runtime.db.read(children.of, self.job.key)
        attempt = self.steps.attempt
        latest: dict[str, Row] = {}
        for row in rows:
            facts = row.doc.get("lazward") or {}
            if facts.get("loop"):
                self.loops.remember(row)
                if row.properties["status"] not in JOB_OVER:
                    self._open[row.key] = row
            elif (at := facts.get("attempt", 1)) == attempt or row.properties["status"] == "Completed":
                there = latest.get(facts["node"])
                if there is None or at >= (there.doc["lazward"].get("attempt", 1)):
                    latest[facts["node"]] = row
            elif row.properties["jobType"] == "Pipeline":
                self.steps.stopped[facts["node"]] = row.key  # of an attempt before this one: it is resumed, too
        for name, row in latest.items():
            if row.properties["status"] == "Completed":
                self.values.children[name] = row
            if row.properties["status"] in JOB_OVER:
                self._known[row.key], self._nodes[row.key] = row.properties["status"], name
            else:
                self._open[row.key] = row
        restore(self.progress, [(name, ENDS.get(row.properties["status"], "running")) for name, row in latest.items()])

    # ---- the loop --------------------------------------------------------------------------------------------------------
    async def to_its_end(self) -> str:
        stirred, canceled = self.runtime.stir_event(self.job.key), self.runtime.cancel_event(self.job.key)
        while True:
            stirred.clear()
            if await self._absorb() or canceled.is_set():
                self.progress.stop("canceled")
            if self.progress.stopping:
                await self._stop_children()
            else:
                await self._begin()
            if self._over_at_once:
                continue
            if self.progress.over and not self._open:
                return self.progress.result()
            if self.progress.stopping and not self._told_to_stop.issuperset(self._open):
                continue  # the last step has just failed
            await first_of(stirred, None if self.progress.stopping else canceled, timeout=POLL_S)

    async def _absorb(self) -> bool:
        """Takes in what has become of the open children; whether the pipeline is asked to stop."""
        job, changed, gone = await self.runtime.db.read(children.news, self._seen, self._open)
        for key in gone:  # somebody has deleted it
            self._open[key].properties["status"] = "Canceled"
        at_once, self._over_at_once = self._over_at_once, []
        for row in [*at_once, *changed, *(self._open[key] for key in gone)]:
            if row.properties["status"] in JOB_OVER:
                await self._has_ended(row)
            else:
                self._open[row.key] = row
        self._seen = job or self._seen
        return job is None or job.properties["status"] == "CancelRequested"

    async def _has_ended(self, row: Row) -> None:
        status, facts = row.properties["status"], row.doc["lazward"]
        self._known[row.key], self._nodes[row.key] = status, facts["node"]
        self._open.pop(row.key, None)
        self.told(f"{facts['node']}: {row.name} has ended: {status}")
        if loop := facts.get("loop"):
            self.loops.remember(row)
            self._loop_went_on(loop, await self.loops.ended(loop, self.graph))
            return
        if status == "Completed":
            self.values.children[facts["node"]] = row
        self.progress.ended(facts["node"], ENDS[status])  # type: ignore[arg-type]

    async def _begin(self) -> None:
        while names := self.progress.startable(max(0, ACTIVE - len(self._open))):
            steps = []
            for name in names:
                node = self.graph.nodes[name]
                self.progress.began(name)
                if node.kind == "if_else":
                    await self._guarded(name, self._choose(name))
                elif node.kind in ("do_while", "parallel_for"):
                    await self._guarded(name, self._begin_loop(name))
                else:
                    steps.append(name)
            await self._submit(steps)

    async def _submit(self, names: list[str]) -> None:
        """Children for all of them, in one transaction where all is well."""
        drafts = []
        for name in names:
            try:
                drafts.append(await self.steps.draft(self.graph.nodes[name]))
            except ArmError as error:
                self._could_not(name, error)
        for draft, result in await self.steps.submit(drafts):
            if isinstance(result, ArmError):
                self._could_not(draft.node, result)
                continue
            self._is_there(result)
            self.told(f"{draft.node}: submitted as {result.name}" + (f", which reuses {draft.reused}" if draft.reused else ""))

    def _is_there(self, row: Row) -> None:
        if row.properties["status"] in JOB_OVER:
            self._over_at_once.append(row)
        else:
            self._open[row.key] = row

    async def _choose(self, name: str) -> None:
        value = await self.steps.condition(self.graph.nodes[name])
        self.told(f"{name}: the condition is {str(value).lower()}")
        self.progress.chose(name, value)

    async def _begin_loop(self, name: str) -> None:
        self._loop_went_on(name, await self.loops.begin(self.graph.nodes[name], self.graph))

    def _loop_went_on(self, name: str, result: str | list[Row]) -> None:
        if isinstance(result, str):
            if result != "running":
                self.progress.ended(name, result)  # type: ignore[arg-type]
            return
        for row in result:
            self._is_there(row)
            self.told(f"{name}: round submitted as {row.name}")

    async def _guarded(self, name: str, doing: Any) -> None:
        try:
            await doing
        except ArmError as error:
            self._could_not(name, error)

    def _could_not(self, name: str, error: ArmError) -> None:
        self.told(f"{name}: could not be started: {error.message}")
        self.errors[name] = error
        self.progress.ended(name, "failed")

    async def _stop_children(self) -> None:
        stop = [key for key in self._open if key not in self._told_to_stop]
        self._told_to_stop.update(stop)
        now = self.work.now()

        def ask(tx: Tx) -> None:
            for key in stop:
                request_cancel(tx, key, now)

        if stop:
            await self.runtime.db.write(ask)
        for loop in self.loops.running():
            if not any(row.doc["lazward"].get("loop") == loop for row in self._open.values()):
                self.progress.ended(loop, "canceled")

    def outcomes(self, node: str) -> list[tuple[str, str]]:
        """(key, status) of the children of a node that are over; of a loop, of its rounds."""
        rounds = self.loops.rounds.get(node)
        if rounds is not None:
            return [(row.key, row.properties["status"]) for row in rounds.values()]
        return [(key, status) for key, status in self._known.items() if self._nodes.get(key) == node]

    def summary(self) -> str:
        return ", ".join(f"{count} {state}" for state, count in sorted(self.progress.counts.items())) or "nothing to do"
