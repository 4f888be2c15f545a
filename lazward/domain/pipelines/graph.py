"""The graph of a pipeline's nodes, from the `jobs` that a client sends (snake_case inside, see the wire contract).

An edge says: that node must have ended well before this one can begin. The blocks of an if_else wait for it; what reads the body of
a loop waits for the loop, whose last round it reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from lazward.contract.errors import ArmError, bad_request
from lazward.domain.pipelines.binding import BadBinding, Binding, whole, within

STEPS = ("command", "parallel", "sweep", "pipeline")
CONTROLS = ("if_else", "do_while", "parallel_for")
MAX_NODES = 20_000
MAX_ITERATIONS = 1000


class Node(msgspec.Struct):
    name: str
    kind: str  # one of STEPS or CONTROLS
    raw: dict[str, Any]
    needs: set[str]  # names of nodes
    optional_needs: set[str]  # of those, the ones it can do without when they did not run
    loop: str = ""  # the loop whose body this node is: it does not run by itself
    gate: str = ""  # the if_else whose block this node is
    when: bool = True  # of a gated node: the side of the condition it belongs to

    @property
    def inputs(self) -> dict[str, Any]:
        return self.raw.get("inputs") or {}


class Graph(msgspec.Struct):
    nodes: dict[str, Node]

    def runnable(self) -> list[Node]:
        return [node for node in self.nodes.values() if not node.loop]


def build(jobs: Any, at: str = "properties.jobs") -> tuple[Graph, list[ArmError]]:
    """The graph and everything that is wrong with it, each fault with the path of its member. With faults, do not run it."""
    problems: list[ArmError] = []
    nodes: dict[str, Node] = {}
    if not isinstance(jobs, dict) or not jobs:
        return Graph({}), [bad_request("A pipeline needs at least one node.", at)]
    if len(jobs) > MAX_NODES:
        return Graph({}), [bad_request(f"A pipeline has at most {MAX_NODES} nodes, not {len(jobs)}.", at)]
    for name, raw in jobs.items():
        if not isinstance(raw, dict):
            problems.append(bad_request("A node is an object.", f"{at}.{name}"))
            continue
        kind = str(raw.get("type") or "command").lower()
        if kind not in (*STEPS, *CONTROLS):
            problems.append(ArmError(501, "NotImplemented", f"Nodes of type '{kind[:40]}' are not implemented; there are {', '.join((*STEPS, *CONTROLS))}.", f"{at}.{name}.type"))
            continue
        nodes[name] = Node(name, kind, raw, set(), set())
    for node in nodes.values():
        problems += _connect(node, nodes, f"{at}.{node.name}", known=jobs)
    _redirect(nodes)
    if not problems and (circle := _circle(nodes)):
        problems.append(bad_request(f"The nodes wait for each other in a circle: {' -> '.join(circle)}.", f"{at}.{circle[0]}"))
    return Graph(nodes), problems


def references(raw: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """(member, value) of everything in a step where a binding may stand."""
    for name, given in (raw.get("inputs") or {}).items():
        if isinstance(given, dict):
            yield f"inputs.{name}", given.get("value") if given.get("value") is not None else given.get("uri")
        else:
            yield f"inputs.{name}", given


def _connect(node: Node, nodes: dict[str, Node], at: str, known: dict[str, Any]) -> list[ArmError]:
    problems: list[ArmError] = []

    def need(value: Any, member: str) -> None:
        try:
            found = within(value)
        except BadBinding as error:
            problems.append(bad_request(str(error), f"{at}.{member}"))
            return
        for binding in found:
            if binding.kind in ("node", "node_output"):
                if binding.name not in known:
                    problems.append(bad_request(f"There is no node '{binding.name}' in this pipeline.", f"{at}.{member}"))
                elif binding.name == node.name:
                    problems.append(bad_request("A node cannot wait for itself.", f"{at}.{member}"))
                else:
                    node.needs.add(binding.name)

    for member, value in references(node.raw):
        need(value, member)
    if node.kind == "if_else":
        problems += _branches(node, nodes, at, need)
    elif node.kind in ("do_while", "parallel_for"):
        problems += _loop(node, nodes, at, need)
    return problems


def _branches(node: Node, nodes: dict[str, Node], at: str, need: Any) -> list[ArmError]:
    problems: list[ArmError] = []
    condition = node.raw.get("condition")
    if condition is None:
        problems.append(bad_request("An if_else needs a condition: true, false or an output of a node.", f"{at}.condition"))
    need(condition, "condition")
    blocks = 0
    for side, member in ((True, "true_block"), (False, "false_block")):
        given = node.raw.get(member)
        for text in given if isinstance(given, list) else [given] if given is not None else []:
            blocks += 1
            try:
                binding = whole(text)
            except BadBinding:
                binding = None
            target = nodes.get(binding.name) if binding and binding.kind == "node" else None
            if target is None:
                problems.append(bad_request(f"'{str(text)[:80]}' names no node: use ${{{{parent.jobs.NODE}}}}.", f"{at}.{member}"))
            elif target.gate and (target.gate, target.when) != (node.name, side):
                problems.append(bad_request(f"The node '{target.name}' is a block of two branches.", f"{at}.{member}"))
            else:
                target.gate, target.when = node.name, side
                target.needs.add(node.name)
    if not blocks:
        problems.append(bad_request("An if_else needs a true_block or a false_block.", at))
    return problems


def _loop(node: Node, nodes: dict[str, Node], at: str, need: Any) -> list[ArmError]:
    problems: list[ArmError] = []
    try:
        body = whole(node.raw.get("body"))
    except BadBinding:
        body = None
    target = nodes.get(body.name) if body and body.kind == "node" else None
    if target is None or target.kind not in STEPS:
        problems.append(bad_request("The body of a loop is a step of this pipeline: ${{parent.jobs.NODE}}.", f"{at}.body"))
    elif target.loop and target.loop != node.name:
        problems.append(bad_request(f"The node '{target.name}' is the body of two loops.", f"{at}.body"))
    else:
        target.loop = node.name
        for member, value in references(target.raw):  # what the first round reads must be there before the loop begins
            need(value, f"body.{member}")
    if node.kind == "do_while":
        limit = (node.raw.get("limits") or {}).get("max_iteration_count")
        if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_ITERATIONS:
            problems.append(bad_request(f"max_iteration_count is a number between 1 and {MAX_ITERATIONS}.", f"{at}.limits.max_iteration_count"))
    else:
        need(node.raw.get("items"), "items")
        if node.raw.get("items") in (None, "", "[]", "{}", [], {}):
            problems.append(bad_request("A parallel_for needs items.", f"{at}.items"))
        most = node.raw.get("max_concurrency")
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
            problems.append(bad_request("max_concurrency is a number of at least 1.", f"{at}.max_concurrency"))
    return problems


def _redirect(nodes: dict[str, Node]) -> None:
    """Who needs the body of a loop needs the loop."""
    for node in nodes.values():
        for name in [n for n in node.needs if n in nodes and nodes[n].loop]:
            loop = nodes[name].loop
            node.needs.discard(name)
            if loop != node.name and not (node.loop and node.loop == loop):
                node.needs.add(loop)


def _circle(nodes: dict[str, Node]) -> list[str]:
    """The names on a circle, first one repeated at the end; [] when there is none. Iterative: graphs may be deep."""
    state: dict[str, int] = {}
    for start in nodes:
        if state.get(start):
            continue
        path, stack = [start], [iter(sorted(nodes[start].needs))]
        state[start] = 1
        while stack:
            following = next((n for n in stack[-1] if n in nodes and state.get(n) != 2), None)
            if following is None:
                state[path.pop()] = 2
                stack.pop()
            elif state.get(following) == 1:
                return [*path[path.index(following) :], following]
            else:
                state[following] = 1
                path.append(following)
                stack.append(iter(sorted(nodes[following].needs)))
    return []


def source(node: Node, name: str) -> Binding | None:
    """The binding that an input of a node is as a whole."""
    given = node.inputs.get(name)
    return whole(given.get("value") if isinstance(given, dict) else given)
