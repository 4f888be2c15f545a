"""The check of a whole pipeline when it is submitted, nested components and all: every fault at once, each with the path of its member.

What is checked here with placeholders for values not known yet is what pipeline_steps.py submits later with the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from lazward.contract.errors import ArmError
from lazward.domain.jobs.checks import INPUT_TYPES
from lazward.domain.pipelines.binding import BadBinding, whole, within
from lazward.domain.pipelines.graph import STEPS, Graph, Node, build
from lazward.domain.pipelines.ports import DATA, Port, problem, read, truth
from lazward.domain.pipelines.settled import bound, settled
from lazward.domain.pipelines.steps import component_id, items_of, outputs_of, properties_of
from lazward.domain.queue.order import Ask
from lazward.domain.resources.jobs import KINDS
from lazward.domain.uris import parse_uri
from lazward.orchestration import environments, machines
from lazward.orchestration.data import asset, home_of, locate
from lazward.orchestration.job_references import ask_of, check_code, check_compute
from lazward.storage.db import Tx
from lazward.storage.resources import Row

MAX_DEPTH = 30  # of pipelines in pipelines
MAX_PROBLEMS = 100
SPECIAL = ("artifacts", "default")  # outputs that every step has: the folder of its artifacts
CONDITION = Port("condition", "boolean")  # of an if_else
_ANYWHERE = "azureml://datastores/workspaceblobstore/paths/x"


class Components:
    """The component versions that a pipeline names, each read once."""

    def __init__(self, tx: Tx, workspace: Row):
        self.tx = tx
        self.workspace = workspace
        self._known: dict[str, dict[str, Any] | ArmError] = {}

    def spec(self, reference: str, at: str) -> dict[str, Any]:
        """Raises ArmError 400/404 naming `at`."""
        found = self._known.get(reference)
        if found is None:
            try:
                found = self._load(reference, at)
            except ArmError as error:
                found = error
            self._known[reference] = found
        if isinstance(found, ArmError):
            raise ArmError(400, found.code, found.message, at)
        return found

    def _load(self, reference: str, at: str) -> dict[str, Any]:
        uri = parse_uri(reference, at, "components")
        if uri.kind != "asset" or uri.family != "components":
            raise ArmError(400, "InvalidComponent", f"'{reference[:200]}' names no component.", at)
        row = asset(self.tx, home_of(self.tx, self.workspace, uri, at), uri, at)
        return {**row.properties["componentSpec"], "_id": row.id}


@dataclass
class Check:
    tx: Tx
    workspace: Row
    components: Components
    values: Mapping[str, str] = field(default_factory=dict)  # of the inputs of the pipeline that is submitted, as far as they are literals
    problems: list[ArmError] = field(default_factory=list)
    references: dict[tuple[str, str], ArmError | None] = field(default_factory=dict)
    asks: dict[Ask, ArmError | None] = field(default_factory=dict)

    def fault(self, message: str, at: str, code: str = "ValidationError") -> None:
        self.problems.append(ArmError(400, code, message, at))

    def once(self, kind: str, reference: str, at: str) -> None:
        """Whether an environment, a code or a compute is there; asked once for each."""
        key = (kind, reference)
        if key not in self.references:
            try:
                if kind == "compute":
                    check_compute(self.tx, self.workspace, reference)
                elif kind == "environment":
                    environments.check(self.tx, self.workspace, reference, at)
                else:
                    check_code(self.tx, self.workspace, reference, at)
                self.references[key] = None
            except ArmError as error:
                self.references[key] = error
        if error := self.references[key]:
            self.problems.append(ArmError(400, error.code, error.message, at))


    def possible(self, facts: Mapping[str, Any], at: str) -> None:
        """Whether there is a machine for what a step asks for; asked once for each ask."""
        try:
            ask = ask_of(dict(facts))
        except ArmError as error:
            self.problems.append(ArmError(error.status, error.code, error.message, at))
            return
        if ask not in self.asks:
            try:
                machines.check_possible(self.tx, ask, at)
                self.asks[ask] = None
            except ArmError as error:
                self.asks[ask] = error
        if error := self.asks[ask]:
            self.problems.append(ArmError(400, error.code, error.message, at))


def check_pipeline(tx: Tx, workspace: Row, properties: Mapping[str, Any]) -> list[ArmError]:
    """All that is wrong with a pipeline's nodes; [] when it can run."""
    literals = {name: given["value"] for name, given in properties["inputs"].items() if given["jobInputType"] == "literal"}
    check = Check(tx, workspace, Components(tx, workspace), literals)
    inputs = {
        name: Port(name, "string" if given["jobInputType"] == "literal" else given["jobInputType"]) for name, given in properties["inputs"].items()
    }
    if properties.get("componentId"):  # which knows of optional inputs that were not given
        try:
            inputs = read(check.components.spec(properties["componentId"], "properties.componentId").get("inputs")) | inputs
        except ArmError as error:
            return [error]
    graph, check.problems = build(properties["jobs"])
    settings = properties.get("settings") or {}
    if settings.get("default_compute"):
        check.once("compute", settings["default_compute"], "properties.settings.default_compute")
    _nodes(check, graph, inputs, set(properties.get("outputs") or {}), settings, "properties.jobs", (), typed=False)
    return list({(str(problem.target), problem.message): problem for problem in check.problems}.values())[:MAX_PROBLEMS]


def _nodes(check: Check, graph: Graph, inputs: Mapping[str, Port], outputs: set[str], settings: Mapping[str, Any], at: str, above: tuple[str, ...], *, typed: bool) -> None:
    """typed: the inputs of the pipeline have declared types (it is a component), so literals bound to them can be compared."""
    specs: dict[str, dict[str, Any]] = {}
    for node in graph.nodes.values():
        if node.kind not in STEPS:
            continue
        place = f"{at}.{node.name}"
        reference = component_id(node)
        if not reference:
            check.fault("A step names its component (componentId).", f"{place}.componentId")
            continue
        try:
            specs[node.name] = check.components.spec(reference, f"{place}.componentId")
        except ArmError as error:
            check.problems.append(error)
    for node in graph.nodes.values():
        if len(check.problems) >= MAX_PROBLEMS:
            return
        place = f"{at}.{node.name}"
        if node.kind in STEPS and node.name in specs:
            _step(check, node, graph, specs, inputs, outputs, settings, place, above, typed=typed)
        elif node.kind == "if_else":
            _bound(check, node.raw.get("condition"), CONDITION, graph, specs, inputs, f"{place}.condition")
        elif node.kind == "do_while":
            _do_while(check, node, graph, specs, place)
        elif node.kind == "parallel_for" and not (isinstance(node.raw.get("items"), str) and within(node.raw["items"])):
            try:
                items_of(node.raw.get("items"), place)
            except ArmError as error:
                check.problems.append(error)


def _step(
    check: Check, node: Node, graph: Graph, specs: Mapping[str, dict[str, Any]], above_inputs: Mapping[str, Port], above_outputs: set[str],
    settings: Mapping[str, Any], at: str, above: tuple[str, ...], *, typed: bool,
) -> None:
    spec = specs[node.name]
    ports = read(spec.get("inputs"))
    loop = graph.nodes.get(node.loop)
    later = _given_by_loop(loop)  # what the rounds of a loop give to their body
    space = set(node.raw.get("search_space") or {})
    draft: dict[str, dict[str, Any]] = {}
    for name, given in node.inputs.items():
        port = ports.get(name)
        if port is None:
            have = ", ".join(sorted(ports)) or "none"
            check.fault(f"The component has no input '{name[:80]}'; it has {have}.", f"{at}.inputs.{name}")
            continue
        value = given.get("value") if isinstance(given, dict) and given.get("value") is not None else given.get("uri") if isinstance(given, dict) else given
        if value is not None:
            _bound(check, value, port, graph, specs, above_inputs, f"{at}.inputs.{name}", given=given)
            draft[name] = _placeholder(port)
    for name, port in ports.items():
        if name in draft:
            continue
        if port.default is not None or name in space or name in later:
            draft[name] = _placeholder(port)
        elif not port.optional:
            check.fault(f"The component needs the input '{name}'.", f"{at}.inputs.{name}")
            draft[name] = _placeholder(port)
    for name, given in (node.raw.get("outputs") or {}).items():
        try:
            target = whole(given.get("value") if isinstance(given, dict) else given)
        except BadBinding as error:
            check.fault(str(error), f"{at}.outputs.{name}")
            continue
        if target is not None and (target.kind != "output" or target.name not in above_outputs):
            check.fault(f"The pipeline has no output '{target.name}'.", f"{at}.outputs.{name}")
        if name not in read(spec.get("outputs")) and name not in SPECIAL:
            check.fault(f"The component has no output '{name[:80]}'.", f"{at}.outputs.{name}")
    for path, name in bound(node.raw):
        if name not in above_inputs:
            check.fault(f"The pipeline has no input '{name[:80]}'.", f"{at}.{path}")
    node = structs.replace(node, raw=settled(node.raw, {} if above else check.values))  # what a nested pipeline is given is known when it runs
    try:
        facts = properties_of(node, spec, draft, outputs_of(node, spec, {}), settings)
    except ArmError as error:
        check.problems.append(ArmError(error.status, error.code, error.message, at if not error.target else f"{at}.{error.target}"))
        return
    if node.kind == "pipeline":
        if facts["settings"].get("default_compute") not in (None, settings.get("default_compute")):
            check.once("compute", facts["settings"]["default_compute"], f"{at}.settings.default_compute")
        _nested(check, spec, ports, facts, at, above)
        return
    faults = KINDS[facts["jobType"]].problems(facts)
    for found in faults:
        check.problems.append(ArmError(found.status, found.code, found.message, f"{at}.{str(found.target or '').removeprefix('properties.').removeprefix('parallel.')}".rstrip(".")))
    run = facts.get("trial") if node.kind == "sweep" else facts
    for member, kind in (("environmentId", "environment"), ("codeId", "code")):
        if run and run.get(member):
            check.once(kind, run[member], f"{at}.{member}")
    if not faults:
        check.possible({**facts, **(run or {})}, f"{at}.resources")
    if facts.get("computeId") and facts["computeId"] != settings.get("default_compute"):
        check.once("compute", facts["computeId"], f"{at}.computeId")


def _do_while(check: Check, loop: Node, graph: Graph, specs: Mapping[str, dict[str, Any]], at: str) -> None:
    """Its condition and mapping name outputs and inputs of the body."""
    body = next((n for n in graph.nodes.values() if n.loop == loop.name and n.name in specs), None)
    if body is None:
        return
    outputs, inputs = read(specs[body.name].get("outputs")), read(specs[body.name].get("inputs"))

    def output(given: Any, member: str) -> Port | None:
        try:
            binding = whole(given)
        except BadBinding as error:
            check.fault(str(error), f"{at}.{member}")
            return None
        name = binding.output if binding else str(given)
        if (binding and (binding.kind, binding.name) != ("node_output", body.name)) or name not in outputs:
            check.fault(f"'{str(given)[:80]}' is no output of the body '{body.name}'; it has {', '.join(sorted(outputs)) or 'none'}.", f"{at}.{member}")
            return None
        return outputs[name]

    condition = loop.raw.get("condition")
    if condition is not None and truth(condition) is None:
        port = output(condition, "condition")
        if port is not None and not _fits(port, CONDITION):
            check.fault(f"'{body.name}' gives a {port.type} as '{port.name}'; a {CONDITION.type} is wanted.", f"{at}.condition")
    for source, targets in (loop.raw.get("mapping") or {}).items():
        output(source, f"mapping.{source}")
        for target in targets if isinstance(targets, list) else [targets]:
            if target not in inputs:
                check.fault(f"'{str(target)[:80]}' is no input of the body '{body.name}'; it has {', '.join(sorted(inputs)) or 'none'}.", f"{at}.mapping.{source}")


def _nested(check: Check, spec: Mapping[str, Any], ports: Mapping[str, Port], facts: Mapping[str, Any], at: str, above: tuple[str, ...]) -> None:
    if spec.get("type") != "pipeline":
        check.fault(f"The component is of type '{spec.get('type')}', not a pipeline.", f"{at}.componentId")
        return
    if len(above) >= MAX_DEPTH:
        check.fault(f"Pipelines are nested more than {MAX_DEPTH} deep.", at)
        return
    if spec["_id"] in above:
        check.fault("The pipeline component contains itself.", f"{at}.componentId")
        return
    graph, problems = build(spec.get("jobs"), f"{at}.jobs")
    check.problems += problems
    _nodes(check, graph, ports, set(spec.get("outputs") or {}), facts["settings"], f"{at}.jobs", (*above, spec["_id"]), typed=True)


def _bound(
    check: Check, value: Any, port: Port, graph: Graph, specs: Mapping[str, dict[str, Any]], above: Mapping[str, Port], at: str, given: Any = None
) -> None:
    """Whether a value, or what it is bound to, fits a port."""
    try:
        binding, inside = whole(value), within(value)
    except BadBinding as error:
        check.fault(str(error), at)
        return
    for found in inside:
        if found.kind == "input" and found.name not in above:
            check.fault(f"The pipeline has no input '{found.name}'.", at)
        elif found.kind == "node_output":
            node = graph.nodes.get(found.name)
            if node is None or node.name not in specs:
                continue  # told elsewhere, or a loop, whose outputs are its body's
            outputs = read(specs[node.name].get("outputs"))
            if found.output not in outputs and found.output not in SPECIAL:
                check.fault(f"The component of '{node.name}' has no output '{found.output}'; it has {', '.join(sorted(outputs)) or 'none'}.", at)
            elif binding is not None and found.output in outputs and not _fits(outputs[found.output], port):
                check.fault(f"'{node.name}' gives '{found.output}' as {outputs[found.output].type}; what is wanted is {port.type}.", at)
        elif found.kind in ("output", "node"):
            check.fault("An input is bound to an input of the pipeline or to an output of a node.", at)
    if binding is not None and binding.kind == "input" and binding.name in above:
        source = above[binding.name]
        if source.type in DATA and port.primitive:
            check.fault(f"The pipeline's input '{binding.name}' is data of type {source.type}; what is wanted is {port.type}.", at)
    if not inside:
        kind = given.get("job_input_type") or "literal" if isinstance(given, dict) else "literal"
        if kind == "literal":
            if wrong := problem(port, value):
                check.fault(f"The input '{port.name}' {wrong}." if port is not CONDITION else f"The condition {wrong}.", at)
        elif kind not in INPUT_TYPES:
            check.fault(f"job_input_type is one of {', '.join(INPUT_TYPES)}, not '{str(kind)[:40]}'.", at)
        elif port.primitive:
            check.fault(f"The input '{port.name}' takes a {port.type}, not data.", at)
        else:
            try:
                locate(check.tx, check.workspace, str(value), at, "models" if kind.endswith("_model") else "data")
            except ArmError as error:
                check.problems.append(ArmError(400, error.code, error.message, at))


def _fits(output: Port, port: Port) -> bool:
    """Whether an output may be read here. A condition is a boolean, or a text that says true or false."""
    return output.primitive == port.primitive and not (port is CONDITION and output.type in ("integer", "number"))


def _given_by_loop(loop: Node | None) -> set[str]:
    if loop is None:
        return set()
    if loop.kind == "do_while":
        targets = (loop.raw.get("mapping") or {}).values()
        return {bad for target in targets for bad in (target if isinstance(target, list) else [target]) if isinstance(bad, str)}
    try:
        return {name for _, item in items_of(loop.raw.get("items"), "") for name in item}
    except ArmError:
        return set()


def _placeholder(port: Port) -> dict[str, Any]:
    if port.primitive:
        return {"jobInputType": "literal", "value": "x"}
    return {"jobInputType": port.type if port.type in DATA else "uri_folder", "uri": _ANYWHERE}
