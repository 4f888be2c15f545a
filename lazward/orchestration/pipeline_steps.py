"""The children of a pipeline: what each step's job is, submitted once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from lazward.contract.errors import ArmError
from lazward.domain.pipelines.binding import whole
from lazward.domain.pipelines.graph import Node, source
from lazward.domain.pipelines.ports import read, truth
from lazward.domain.pipelines.reuse import difference
from lazward.domain.pipelines.settled import settled
from lazward.domain.pipelines.steps import outputs_of, properties_of
from lazward.orchestration import children, reuse
from lazward.orchestration.pipeline_resume import resume
from lazward.orchestration.pipeline_values import Values
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row

MAX_COMPARED = 50


@dataclass
class Draft:
    """A child that is to be submitted. parts: what its fingerprint for reuse is taken of; None when it is not to be reused, for the
    reason in `why`. reused: the job whose results it takes over, once it is submitted."""

    node: str
    place: str
    properties: dict[str, Any]
    private: dict[str, Any]
    parts: dict[str, Any] | None = None
    why: str = ""
    reused: str = ""


class Steps:
    def __init__(self, runtime: Runtime, workspace: Row, job: Row, values: Values, now: Callable[[], float]):
        self.runtime = runtime
        self.workspace = workspace
        self.job = job
        self.values = values
        self.now = now
        self.settings: dict[str, Any] = job.properties.get("settings") or {}
        self.stopped: dict[str, str] = {}  # node -> key of the nested pipeline that an attempt before this one left unfinished
        self._contents: dict[str, str] = {}
        self._compared = 0
        self.attempt: int = (job.doc.get("lazward") or {}).get("attempt", 1)

    def optional_needs(self, node: Node) -> set[str]:
        """Nodes that this one reads only through optional inputs or inputs with a default: it can do without them."""
        ports = read(self.values.specs[node.name].get("inputs"))
        found: dict[str, bool] = {}
        for name in node.inputs:
            binding = source(node, name)
            if binding is not None and binding.kind == "node_output":
                port = ports.get(name)
                free = port is not None and (port.optional or port.default is not None)
                found[binding.name] = found.get(binding.name, True) and free
        return {name for name, free in found.items() if free}

    async def draft(self, node: Node, *, place: str = "", given: dict[str, Any] | None = None, private: dict[str, Any] | None = None) -> Draft:
        """The child of a step; place, given and private are a loop's. Raises ArmError when a value does not fit."""
        spec = self.values.specs[node.name]
        literals = {name: facts["value"] for name, facts in self.job.properties["inputs"].items() if facts["jobInputType"] == "literal"}
        node = structs.replace(node, raw=settled(node.raw, literals))
        inputs = await self.values.inputs_of(node, given)
        outputs = outputs_of(node, spec, {} if private else self._bound(node))
        facts = properties_of(node, spec, inputs, outputs, self.settings)
        facts["properties"] |= {"azureml.pipelinerunid": self.job.name, "azureml.nodeid": node.name, "azureml.isreused": "false"}
        facts = {k: v for k, v in facts.items() if v is not None}
        place = place or node.name
        if self.attempt > 1:
            place = f"{place}.{self.attempt}"
        draft = Draft(node.name, place, facts, {"node": node.name, "attempt": self.attempt, **(private or {})})
        if node.kind != "pipeline":
            await self._for_reuse(draft, spec)
        return draft

    async def _for_reuse(self, draft: Draft, spec: dict[str, Any]) -> None:
        if self.settings.get("force_rerun"):
            draft.why = "the pipeline's settings say force_rerun"
        elif spec.get("is_deterministic") is False or str(spec.get("is_deterministic")).lower() == "false":
            draft.why = "the component says is_deterministic: false"
        else:
            draft.parts = await reuse.parts_of(self.runtime, self.workspace, draft.properties, self._contents)

    def _bound(self, node: Node) -> dict[str, dict[str, Any]]:
        """The pipeline's outputs that outputs of this node are."""
        found: dict[str, dict[str, Any]] = {}
        for name, given in (node.raw.get("outputs") or {}).items():
            target = whole(given.get("value") if isinstance(given, dict) else given)
            if target is not None and target.kind == "output":
                facts = self.job.properties["outputs"].get(target.name) or {}
                found[name] = {k: v for k, v in facts.items() if k in ("uri", "mode")}
        return found

    async def submit(self, drafts: list[Draft]) -> list[tuple[Draft, Row | ArmError]]:
        """All in one transaction; where one of them is refused, each in its own."""
        if not drafts:
            return []
        now = self.now()
        try:
            rows = await self.runtime.db.write(lambda tx: [self._one(tx, draft, now) for draft in drafts])
            return list(zip(drafts, rows, strict=True))
        except ArmError as error:
            if len(drafts) == 1:
                return [(drafts[0], error)]
        out: list[tuple[Draft, Row | ArmError]] = []
        for draft in drafts:
            out += await self.submit([draft])
        return out

    def _one(self, tx: Tx, draft: Draft, now: float) -> Row:
        if (key := self.stopped.get(draft.node)) and (row := resources.get(tx, key)) is not None:
            row.doc["lazward"]["attempt"] = self.attempt - 1
            resources.update(tx, row, now)
            resume(tx, key, now)
            return resources.get(tx, key) or row
        name = children.name_of(self.job, draft.place)
        private, why = draft.private, draft.why
        if draft.parts is not None:
            fingerprint = reuse.digest(draft.parts)
            source, why = reuse.find(tx, self.workspace.key, fingerprint, now, self.runtime.settings.reuse_max_age_days)
            if source is not None:
                draft.reused = source.name
                reuse.note_use(tx, source, now)
                return children.take_over(tx, self.runtime.settings, self.job, name, draft.properties, source, now, private)
            private = {**private, "parts": draft.parts, "fingerprint": fingerprint}
            why = self._difference(tx, draft) or why
        draft.properties["properties"]["azureml.reuse"] = f"not reused: {why}"
        return children.submit_child(tx, self.runtime.settings, self.job, name, draft.properties, now, private)

    def _difference(self, tx: Tx, draft: Draft) -> str:
        """What has changed since the step's last run; looked for in pipelines of a size that people read."""
        self._compared += 1
        if self._compared > MAX_COMPARED or draft.parts is None:
            return ""
        earlier = reuse.before(tx, self.workspace.key, str(draft.properties.get("componentId")), draft.node)
        return difference(earlier, draft.parts) if earlier else ""

    async def condition(self, node: Node) -> bool:
        """The condition of an if_else. Raises ArmError when it is neither true nor false."""
        given = node.raw.get("condition")
        binding = whole(given)
        value = given if binding is None else ((await self.values.of(binding)) or {}).get("value")
        found = truth(value)
        if found is None:
            raise ArmError(400, "InvalidCondition", f"The condition of '{node.name}' is '{str(value)[:60]}', neither true nor false.", f"jobs.{node.name}.condition")
        return found
