"""do_while and parallel_for: rounds of a step, each a child of the pipeline."""

from __future__ import annotations

from typing import Any

from lazward.contract.errors import ArmError
from lazward.domain.pipelines.binding import whole
from lazward.domain.pipelines.graph import Graph, Node
from lazward.domain.pipelines.ports import truth
from lazward.domain.pipelines.steps import items_of
from lazward.domain.tracking.status import JOB_OVER
from lazward.orchestration.pipeline_steps import Steps
from lazward.orchestration.pipeline_values import Values
from lazward.storage.resources import Row

AT_ONCE = 64  # rounds of a parallel_for without max_concurrency


class Loops:
    def __init__(self, steps: Steps, values: Values):
        self.steps = steps
        self.values = values
        self.rounds: dict[str, dict[str, Row]] = {}  # loop -> key of the round -> child
        self._begun: set[str] = set()
        self._over: set[str] = set()
        self._items: dict[str, list[tuple[str, dict[str, Any]]]] = {}

    def remember(self, row: Row) -> None:
        facts = row.doc["lazward"]
        if facts.get("attempt", 1) == self.steps.attempt or row.properties["status"] == "Completed":
            self.rounds.setdefault(facts["loop"], {})[facts["round"]] = row

    def running(self) -> list[str]:
        return [name for name in self._begun if name not in self._over]

    async def begin(self, node: Node, graph: Graph) -> str | list[Row]:
        """New rounds, or how the loop ended: rounds may have run before this worker."""
        self._begun.add(node.name)
        if node.kind == "parallel_for":
            given = node.raw.get("items")
            if (binding := whole(given)) is not None:
                given = ((await self.values.of(binding)) or {}).get("value")
            self._items[node.name] = items_of(given, f"jobs.{node.name}")
        return await self._go_on(node, graph)

    async def ended(self, name: str, graph: Graph) -> str | list[Row]:
        """After the end of a round: what comes next."""
        if name not in self._begun or name in self._over:
            return "running"
        return await self._go_on(graph.nodes[name], graph)

    async def _go_on(self, node: Node, graph: Graph) -> str | list[Row]:
        body = next(n for n in graph.nodes.values() if n.loop == node.name)
        result = await (self._while(node, body) if node.kind == "do_while" else self._for(node, body))
        if isinstance(result, str) and result != "running":
            self._over.add(node.name)
        return result

    async def _while(self, node: Node, body: Node) -> str | list[Row]:
        rounds = self.rounds.get(node.name, {})
        last = len(rounds)
        given: dict[str, Any] = {}
        if last:
            row = rounds[str(last)]
            if row.properties["status"] not in JOB_OVER:
                return "running"
            if row.properties["status"] != "Completed":
                return "failed" if row.properties["status"] == "Failed" else "canceled"
            self.values.children[body.name] = row
            if last >= node.raw["limits"]["max_iteration_count"] or not await self._again(node, body, row):
                return "completed"
            for output, inputs in (node.raw.get("mapping") or {}).items():
                binding = whole(output)
                value = await self.values.output(row, binding.output if binding else output, self.values.specs[body.name])
                given |= dict.fromkeys(inputs if isinstance(inputs, list) else [inputs], value)
        return await self._submit(node, body, str(last + 1), given)

    async def _again(self, node: Node, body: Node, row: Row) -> bool:
        given = node.raw.get("condition")
        if given is None:  # while true
            return True
        if (fixed := truth(given)) is not None:
            return fixed
        binding = whole(given)
        value = await self.values.control(row, binding.output if binding else str(given))
        found = truth(value)
        if found is None:
            raise ArmError(400, "InvalidCondition", f"The condition of '{node.name}' is '{value[:60]}', neither true nor false.", f"jobs.{node.name}.condition")
        return found

    async def _for(self, node: Node, body: Node) -> str | list[Row]:
        rounds = self.rounds.setdefault(node.name, {})
        over = [row.properties["status"] for row in rounds.values() if row.properties["status"] in JOB_OVER]
        bad = [status for status in over if status != "Completed"]
        active = len(rounds) - len(over)
        items = self._items[node.name]
        if bad:
            return "running" if active else "failed" if "Failed" in bad else "canceled"
        if len(over) == len(items):
            await self.values.gather(node, body, [(key, rounds[key]) for key, _ in items])
            self.values.gathered |= {(body.name, output): found for (loop, output), found in self.values.gathered.items() if loop == node.name}
            return "completed"
        out: list[Row] = []
        room = int(node.raw.get("max_concurrency") or AT_ONCE) - active
        for key, item in [(k, i) for k, i in items if k not in rounds][: max(0, room)]:
            out += await self._submit(node, body, key, item)
        return out or "running"

    async def _submit(self, node: Node, body: Node, key: str, given: dict[str, Any]) -> list[Row]:
        draft = await self.steps.draft(body, place=f"{node.name}_{key}", given=given, private={"loop": node.name, "round": key})
        ((_, result),) = await self.steps.submit([draft])
        if isinstance(result, ArmError):
            raise result
        self.rounds.setdefault(node.name, {})[key] = result
        return [result]
