"""The values that flow through a running pipeline: inputs of a node from the pipeline's inputs and from what other nodes left."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from lazward.contract.errors import ArmError
from lazward.domain.pipelines.binding import Binding, fill, whole, within
from lazward.domain.pipelines.graph import Node
from lazward.domain.pipelines.ports import Port, problem, read, spell
from lazward.domain.pipelines.steps import input_mode
from lazward.domain.resources.jobs import datastore_of
from lazward.orchestration.copying import copy
from lazward.orchestration.data import locate, run_folder
from lazward.orchestration.pipeline_check import SPECIAL
from lazward.orchestration.runtime import Runtime
from lazward.storage.resources import Row

CONTROL = "azureml.pipeline.control"  # property of a run that holds its control outputs, as mldesigner writes them
MAX_VALUE = 1 << 20  # bytes of a single value

Input = dict[str, Any]  # of a job, in ARM's form


class Values:
    """children: the child of each step, or the children of each loop by round, as far as they have ended well. specs: by node."""

    def __init__(self, runtime: Runtime, workspace: Row, job: Row, specs: dict[str, dict[str, Any]]):
        self.runtime = runtime
        self.workspace = workspace
        self.job = job
        self.specs = specs
        self.children: dict[str, Row] = {}
        self.gathered: dict[tuple[str, str], Input] = {}  # outputs of parallel_for loops, brought together

    async def inputs_of(self, node: Node, given: dict[str, Any] | None = None) -> dict[str, Input]:
        """The inputs of a node's job. given: what a loop gives to its body instead. Raises ArmError when a value does not fit."""
        out: dict[str, Input] = {}
        raw = {**node.inputs, **(given or {})}
        for name, port in read(self.specs[node.name].get("inputs")).items():
            value = raw.get(name)
            found = await self._input(value, port) if value is not None else None
            if found is None and port.default is not None:
                found = {"jobInputType": "literal", "value": spell(port.default)}
            if found is None:
                continue
            if found["jobInputType"] == "literal":
                if wrong := problem(port, found["value"]):
                    raise ArmError(400, "InvalidInput", f"The input '{name}' of '{node.name}' {wrong}.", f"jobs.{node.name}.inputs.{name}")
            elif mode := input_mode(value, port.mode):
                found = {**found, "mode": mode}
            out[name] = found
        return out

    async def _input(self, given: Any, port: Port) -> Input | None:
        facts = given if isinstance(given, dict) else {"value": given}
        kind = facts.get("job_input_type") or facts.get("jobInputType") or "literal"
        value = facts.get("value") if facts.get("value") is not None else facts.get("uri")
        if value is None:
            return None
        if (binding := whole(value)) is not None:
            found = await self.of(binding)
            if found is not None and found["jobInputType"] != "literal" and port.type not in ("any", "path") and not port.primitive:
                found = {**found, "jobInputType": port.type}
            return found
        if inside := within(value):
            texts = {}
            for each in inside:
                part = await self.of(each)
                texts[each] = "" if part is None else str(part.get("value", part.get("uri")))
            value = fill(value, texts)
        if kind == "literal":
            return {"jobInputType": "literal", "value": value if isinstance(value, str) else spell(value)}
        return {"jobInputType": kind, "uri": value}

    async def of(self, binding: Binding) -> Input | None:
        """What a binding stands for; None for an optional input that was not given, or a node that did not run."""
        if binding.kind == "input":
            found = self.job.properties["inputs"].get(binding.name)
            return {k: v for k, v in found.items() if k in ("jobInputType", "value", "uri")} if found else None
        if (binding.name, binding.output) in self.gathered:
            return self.gathered[binding.name, binding.output]
        child = self.children.get(binding.name)
        return None if child is None else await self.output(child, binding.output, self.specs[binding.name])

    async def output(self, child: Row, name: str, spec: dict[str, Any]) -> Input:
        facts = (child.properties.get("outputs") or {}).get(name) or {}
        port = read(spec.get("outputs")).get(name)
        if port is not None and port.primitive:
            return {"jobInputType": "literal", "value": await self.control(child, name)}
        if name in SPECIAL:
            return {"jobInputType": "uri_folder", "uri": f"azureml://datastores/workspaceartifactstore/paths/{run_folder(_origin(child))}/"}
        if not facts.get("uri"):
            raise ArmError(400, "OutputNotFound", f"'{child.name}' has no output '{name}'.", f"outputs.{name}")
        return {"jobInputType": facts["jobOutputType"], "uri": facts["uri"]}

    async def control(self, child: Row, name: str) -> str:
        """The single value that a step gave as an output: said to run history, or written into the output's file."""
        said = child.properties.get("properties") or {}
        if f"{CONTROL}.{name}" in said:
            return spell(said[f"{CONTROL}.{name}"])
        try:
            told = json.loads(said.get(CONTROL) or "{}")
        except ValueError:
            told = {}
        if isinstance(told, dict) and name in told:
            return spell(told[name])
        facts = (child.properties.get("outputs") or {}).get(name) or {}
        if facts.get("uri"):
            place = await self.runtime.db.read(locate, self.workspace, facts["uri"], f"outputs.{name}")
            info = await self.runtime.blobs.info(place.account, place.container, place.path.rstrip("/")) if place.account else None
            if info is not None and info.size <= MAX_VALUE:
                return (await self.runtime.blobs.read_all(place.account, place.container, place.path.rstrip("/"))).decode(errors="replace").strip()
        raise ArmError(400, "NoControlOutput", f"The step '{child.properties.get('displayName')}' ended without a value for its output '{name}': write it to the file ${{{{outputs.{name}}}}}.", f"outputs.{name}")

    async def gather(self, loop: Node, body: Node, rounds: list[tuple[str, Row]]) -> None:
        """Brings the outputs of a parallel_for together: single values as a JSON object by key of the round, data as one folder with a
        folder for each round and an MLTable over them."""
        spec = self.specs[body.name]
        for name, port in read(spec.get("outputs")).items():
            if port.primitive:
                values = {key: await self.control(child, name) for key, child in rounds}
                self.gathered[loop.name, name] = {"jobInputType": "literal", "value": json.dumps(values)}
                continue
            uri = f"azureml://datastores/{datastore_of(self.job.properties)}/paths/azureml/{self.job.name}/{loop.name}/{name}"
            at = f"jobs.{loop.name}.outputs.{name}"
            store = await self.runtime.db.read(locate, self.workspace, uri, at)
            for key, child in rounds:
                made = await self.runtime.db.read(locate, self.workspace, child.properties["outputs"][name]["uri"], at)
                file = "/" + made.path.rstrip("/").rsplit("/", 1)[-1] if port.type == "uri_file" else ""
                await copy(self.runtime, made, replace(store, path=f"{store.path}/{key}{file}"), at)
            table = "paths:\n" + "".join(f"  - folder: ./{key}\n" for key, _ in rounds)
            await self.runtime.blobs.ensure_container(store.account, store.container)
            await self.runtime.blobs.put(store.account, store.container, f"{store.path}/MLTable", table.encode())
            self.gathered[loop.name, name] = {"jobInputType": "mltable", "uri": f"{uri}/"}


def _origin(child: Row) -> str:
    """The run whose artifacts a child has: its own, or that of the step it reuses."""
    return str((child.properties.get("properties") or {}).get("azureml.reusedrunid") or child.name)
