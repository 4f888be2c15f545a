"""`lazward relaunch`, `lazward diff`: what the server can do with jobs and Azure's clients have no command for."""

from __future__ import annotations

import json as json_
import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from lazward.cli import client, datadir
from lazward.cli.env import PRINCIPAL_FIELDS
from lazward.cli.output import FAILED, NOT_RUNNING, OK, USAGE, columns, fail, show, show_json
from lazward.domain.layout import Layout

AUDIENCE = "https://management.azure.com/"
API_VERSION = "2025-12-01"
TIMEOUT_S = 60.0
SHOWN = 60  # characters of a value in a table
# After these, the rest of an assignment's name is one name: it may hold dots.
_NAMES = ("inputs", "tags", "environmentVariables")


def relaunch(
    job: str, *, set: list[str] | None = None, name: str | None = None, workspace: str | None = None, resource_group: str | None = None, data_dir: str | None = None,
    json: bool = False,
) -> int:
    """Run a job again, whatever has become of it: a command, sweep or pipeline, a step or a trial by itself.

    Parameters
    ----------
    job
        Name of the job.
    set
        What is to be different, as inputs.lr=0.1 or resources.properties.cores=2; null removes. May be repeated.
    name
        Name of the new job (default: one that is free).
    workspace
        Of the job (default: LAZWARD_WORKSPACE, or the server's first).
    resource_group
        Of the workspace (default: LAZWARD_RESOURCE_GROUP, or the server's first).
    data_dir
        Folder of all local state, as given to `lazward up`.
    json
        Print the new job as JSON.
    """
    changes = changes_of(set or ())
    if name:
        changes["name"] = name
    server = Server.of(data_dir)
    made = server.post(f"{server.workspace(workspace, resource_group)}/jobs/{quote(job, safe='')}/lazwardRelaunch", changes)
    if json:
        show_json(made)
    else:
        show(f"{made['name']} is {made['properties']['status'].lower()}: {made['properties']['services']['Studio']['endpoint']}")
    return OK


def diff(
    left: str, right: str, *, code: bool = False, workspace: str | None = None, resource_group: str | None = None, data_dir: str | None = None, json: bool = False,
) -> int:
    """Show what is different between two jobs, or runs that are none: code, packages, inputs, parameters, settings.

    Parameters
    ----------
    left
        Name of a job, or id of a run.
    right
        Another.
    code
        Print the unified diff of their code and nothing else.
    workspace
        Of both (default: LAZWARD_WORKSPACE, or the server's first).
    resource_group
        Of the workspace (default: LAZWARD_RESOURCE_GROUP, or the server's first).
    data_dir
        Folder of all local state, as given to `lazward up`.
    json
        Print JSON.
    """
    server = Server.of(data_dir)
    found = server.post(f"{server.workspace(workspace, resource_group)}/lazwardDiff", {"left": left, "right": right})
    if json:
        show_json(found)
    elif code:
        if not found["code"]["comparable"]:
            fail(found["code"]["why"])
        show(found["code"]["diff"].removesuffix("\n"))
    else:
        show(described(found))
    return OK


def changes_of(assignments: Sequence[str]) -> dict[str, Any]:
    """{"inputs": {"lr": "0.1"}} of ["inputs.lr=0.1"]. Values of inputs are texts, others what JSON they are, if they are any."""
    changes: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        path = _path(name.strip())
        if not equals or not all(path):
            fail(f"--set {assignment!r} is not NAME=VALUE.", "Write --set inputs.lr=0.1, say.", USAGE)
        holder = changes
        for piece in path[:-1]:
            inner = holder.setdefault(piece, {})
            if not isinstance(inner, dict):
                fail(f"--set {assignment!r}: {piece} has a value of its own already.", "", USAGE)
            holder = inner
        holder[path[-1]] = _value(value, plain="inputs" in path[:-1] or path[0] in _NAMES)
    return changes


def _path(name: str) -> list[str]:
    pieces = name.split(".")
    if pieces[0] in _NAMES and len(pieces) > 1:
        return [pieces[0], ".".join(pieces[1:])]
    if pieces[0] == "jobs" and len(pieces) > 3 and pieces[2] == "inputs":
        return [*pieces[:3], ".".join(pieces[3:])]
    return pieces


def _value(text: str, plain: bool) -> Any:
    if text != "null" and plain and not text.startswith("{"):
        return text
    try:
        return json_.loads(text)
    except ValueError:
        return text


def described(found: Mapping[str, Any]) -> str:
    """For people: a table of each kind of difference, then the diff of the code."""
    left, right, code = found["left"], found["right"], found["code"]
    rows = [("", left["name"], right["name"])]
    for fact in ("displayName", "codeKind"):
        rows.append((fact, str(left[fact]), str(right[fact])))
    for fact in ("commit", "branch", "dirty"):
        if left["git"].get(fact) or right["git"].get(fact):
            rows.append((f"git {fact}", left["git"].get(fact, ""), right["git"].get(fact, "")))
    parts = [columns(rows)]
    for kind in ("inputs", "parameters", "settings", "packages"):
        if found[kind]:
            parts.append(f"{kind}:\n" + columns([("  " + one["name"], _short(one["left"]), _short(one["right"])) for one in found[kind]]))
    if not code["comparable"]:
        parts.append(f"code: {code['why']}")
    elif code["identical"]:
        parts.append("code: the same")
    else:
        told = [f"{len(code[kind])} {kind}" for kind in ("changed", "added", "removed") if code[kind]]
        cut = "; cut short" if code["truncated"] else ""
        parts.append(f"code: {', '.join(told) or 'not known to differ'}{cut}" + "".join(f"\n  not shown: {one['path']} ({one['why']})" for one in code["notShown"][:20]))
        if code["why"]:
            parts.append(code["why"])
        if code["diff"]:
            parts.append(code["diff"].removesuffix("\n"))
    return "\n\n".join(parts)


def _short(value: str | None) -> str:
    if value is None:
        return "-"
    line = " ".join(value.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."


class Server:
    """The running server of a data dir, asked as its first principal."""

    def __init__(self, layout: Layout, at: datadir.Server, principal: Mapping[str, Any]):
        self.layout = layout
        self.at = at
        self.principal = principal

    @classmethod
    def of(cls, data_dir: str | None) -> Server:
        layout = datadir.here(data_dir)
        at, principal = datadir.read_server(layout), datadir.read_json(layout.principal_file)
        if at is None:
            fail(f"The server in {layout.root} is not running.", "Start it with `lazward up`, or name its folder with --data-dir.", NOT_RUNNING)
        if not isinstance(principal, dict) or not principal.keys() >= {*PRINCIPAL_FIELDS}:
            fail(f"{layout.principal_file} is not there or not whole.", "It is made at the first start of the server.")
        return cls(layout, at, principal)

    def workspace(self, name: str | None, group: str | None) -> str:
        """Its path."""
        group = group or os.environ.get("LAZWARD_RESOURCE_GROUP") or str(self.principal["resource_group"])
        name = name or os.environ.get("LAZWARD_WORKSPACE") or str(self.principal["workspace"])
        subscription = self.principal["subscription_id"]
        return f"/subscriptions/{subscription}/resourceGroups/{quote(group, safe='')}/providers/Microsoft.MachineLearningServices/workspaces/{quote(name, safe='')}"

    def post(self, path: str, body: Any) -> Any:
        """Ends the command where the server refuses."""
        token = self._ask("GET", f"/msi/token?api-version=2019-08-01&resource={AUDIENCE}", {"X-IDENTITY-HEADER": self.principal["secret"]})["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json"}
        return self._ask("POST", f"{path}?api-version={API_VERSION}", headers, json_.dumps(body).encode())

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Any:
        try:
            status, said = client.request(self.at.host, self.at.port, self.layout.ca_certificate, TIMEOUT_S, method, path, headers, body)
        except client.NoAnswer as error:
            fail(f"The server cannot be asked: {error}.", "See `lazward status`.", NOT_RUNNING)
        try:
            value = json_.loads(said)
        except ValueError:
            fail(f"The server answered {status}, and no JSON: {said[:200].decode('utf-8', 'replace')}", "", FAILED)
        if status >= 300:
            error = value.get("error") if isinstance(value, dict) else None
            error = error if isinstance(error, dict) else {"message": str(value)[:500]}
            where = f" [{error['target']}]" if error.get("target") else ""
            fail(f"{error.get('code', status)}{where}: {error.get('message')}")
        return value
