"""A pipeline job that names its component instead of bringing nodes (`type: pipeline`, `component: ./x.yml` or `azureml:x:1`)."""

from __future__ import annotations

from lazward.contract.errors import ArmError, bad_request
from lazward.domain.pipelines.graph import Node
from lazward.domain.pipelines.ports import read, spell
from lazward.domain.pipelines.steps import outputs_of
from lazward.domain.resources.jobs import fill_outputs
from lazward.orchestration.pipeline_check import Components
from lazward.storage.db import Tx
from lazward.storage.resources import Row


def take_component(tx: Tx, workspace: Row, job: Row) -> list[ArmError]:
    """Fills in the nodes, the defaults of inputs and the outputs that the component declares; returns what is wrong with the job."""
    facts = job.properties
    if facts.get("jobs") or not facts.get("componentId"):
        return []
    try:
        spec = Components(tx, workspace).spec(facts["componentId"], "properties.componentId")
    except ArmError as error:
        return [error]
    if spec.get("type") != "pipeline":
        return [bad_request(f"The component is of type '{spec.get('type')}', not a pipeline.", "properties.componentId")]
    ports = read(spec.get("inputs"))
    problems = [
        bad_request(f"The component has no input '{name[:80]}'; it has {', '.join(sorted(ports)) or 'none'}.", f"properties.inputs.{name}")
        for name in facts["inputs"] if name not in ports
    ]
    for name, port in ports.items():
        if name in facts["inputs"]:
            continue
        if port.default is not None:
            facts["inputs"][name] = {"jobInputType": "literal", "value": spell(port.default)}
            facts["parameters"][name] = spell(port.default)
        elif not port.optional:
            problems.append(bad_request(f"The component needs the input '{name}'.", f"properties.inputs.{name}"))
    facts["jobs"] = spec.get("jobs") or {}
    missing = {name: declared for name, declared in outputs_of(Node("", "pipeline", {}, set(), set()), spec, {}).items() if name not in facts["outputs"]}
    facts["outputs"] = {**fill_outputs(facts, job.name, missing), **facts["outputs"]}
    return problems
