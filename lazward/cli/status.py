"""`lazward status`: how each part of the server is."""

from __future__ import annotations

import time
from typing import Any

from lazward.cli import client, datadir, processes
from lazward.cli.output import FAILED, NOT_RUNNING, OK, columns, duration, progress, show, show_json
from lazward.domain.layout import Layout


def status(*, data_dir: str | None = None, json: bool = False) -> int:
    """Show whether the server runs, and each of its parts. Exit code 0: all well, 1: something is wrong, 3: not running.

    Parameters
    ----------
    data_dir
        Folder of all local state, as given to `lazward up`.
    json
        Print JSON.
    """
    layout = datadir.here(data_dir)
    report = look(layout, time.time())
    if json:
        show_json(report)
    else:
        show(describe(report, time.time()))
    if report["state"] == "stopped":
        progress("lazward: the server is not running; start it with `lazward up`.")
        return NOT_RUNNING
    return OK if report["state"] == "running" else FAILED


def look(layout: Layout, now: float) -> dict[str, Any]:
    """state: running (every part is, and the control plane answers), degraded (one is not), stopped, or killed (the supervisor is gone,
    parts of it run on). Times are unix seconds."""
    pid = datadir.holder(layout)
    server = datadir.read_server(layout)
    records = datadir.read_json(layout.parts_file)
    parts = [_part(record) for record in records if isinstance(record, dict)] if isinstance(records, list) else []
    report: dict[str, Any] = {"state": "stopped", "data_dir": str(layout.root), "url": None, "gateway_url": None, "pid": None, "since": None, "health": None}
    endpoint = datadir.read_endpoint(layout)
    if endpoint:
        report.update(url=endpoint.url, gateway_url=endpoint.gateway_url)
    if pid is None:
        left = [part for part in parts if part["alive"]]
        report.update(state="killed" if left else "stopped", parts=left)
        return report
    report.update(pid=pid, parts=parts, state="degraded")
    if server is None:  # the lock is held, but it has not come that far, or another command holds it
        report["health"] = "starting"
        return report
    report.update(since=server.started)
    try:
        client.health(server.host, server.port, layout.ca_certificate, timeout=3.0)
        report["health"] = "ok"
    except client.NoHealth as error:
        report["health"] = str(error)
    if report["health"] == "ok" and parts and all(part["state"] == "idle" or (part["state"] == "running" and part["alive"]) for part in parts):
        report["state"] = "running"
    return report


def describe(report: dict[str, Any], now: float) -> str:
    lines = [f"Lazward is {report['state']}" + (f" for {duration(now - report['since'])}" if report["since"] else "")]
    if report["url"]:
        lines += [f"  server    {report['url']}", f"  scoring   {report['gateway_url']}"]
    lines += [f"  data dir  {report['data_dir']}"]
    if report["health"] not in (None, "ok"):
        lines += [f"  health    {report['health']}"]
    if report["parts"]:
        rows = [("part", "state", "since", "pid", "restarts")]
        for part in report["parts"]:
            rows.append((part["name"], part["state"], duration(now - part["since"]) if part["since"] else "", str(part["pid"] or ""), str(part["restarts"])))
        lines += ["", columns(rows)]
        lines += [f"{part['name']}: last error: {part['last_error']} (log: {part['log']})" for part in report["parts"] if part["last_error"]]
    if report["state"] == "killed":
        lines += ["", "The supervisor was killed; these parts run on. `lazward up` takes them over, `lazward down` ends them."]
    return "\n".join(lines)


def _part(record: dict[str, Any]) -> dict[str, Any]:
    shown = {key: record.get(key) for key in ("name", "state", "pid", "since", "restarts", "last_error", "log")}
    shown["alive"] = processes.is_same(record.get("pid") or 0, record.get("identity"))
    return shown
