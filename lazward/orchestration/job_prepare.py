"""From a job's document to a launch: code, inputs and outputs as local paths, the environment's variables, one process per rank."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lazward.contract.errors import ArmError
from lazward.contract.ids import parse
from lazward.domain.addresses import AddressRefused
from lazward.domain.commands import Value, render
from lazward.domain.distribution import ports_needed, ranks
from lazward.domain.durations import parse_duration
from lazward.domain.ports import LaunchSpec, ProcessSpec
from lazward.domain.settings import Settings
from lazward.domain.tracking import system
from lazward.execution.outbound import Outbound, OutboundFailed
from lazward.execution.readonly import protect, wrap
from lazward.orchestration import job_parallel, job_spool
from lazward.orchestration.data import Place, locate
from lazward.orchestration.job_env import base_environment, job_environment
from lazward.orchestration.job_samples import next_step
from lazward.orchestration.runtime import Runtime
from lazward.storage.resources import Row

DIRECT = "direct"


async def prepare(runtime: Runtime, job: Row, workspace: Row, environment: Any, variables: dict[str, str], folder: Path, name: str, say: Any) -> LaunchSpec:
    """Everything on disk that the job needs. Safe to run again: the folder is made anew. variables: those the environment sets."""
    facts = job.properties
    await asyncio.to_thread(_fresh, folder)
    code = folder / "code"
    inputs_at, outputs_at = folder / "inputs", folder / "outputs"
    await _fetch_code(runtime, workspace, facts, code)
    for captured in ("outputs", "logs"):  # what a job writes there is kept as its artifacts
        (code / captured).mkdir(exist_ok=True)
    inputs = await _fetch_inputs(runtime, workspace, facts, inputs_at, say)
    outputs = _make_outputs(facts, outputs_at)
    command = render(facts["command"], inputs, outputs)
    shared = await asyncio.to_thread(base_environment, runtime, environment, folder, folder / "packages") | variables
    shared |= job_environment(runtime, job, workspace, facts) | job_spool.variables(folder)
    shared |= {f"AZURE_ML_INPUT_{k}": v.text for k, v in inputs.items()} | {f"AZURE_ML_OUTPUT_{k}": v.text for k, v in outputs.items()}
    if "trial" in (job.doc.get("lazward") or {}):
        shared |= {f"AZUREML_SWEEP_{k}": v.text for k, v in (outputs | inputs).items()}
    shared |= {k: str(v) for k, v in (facts.get("environmentVariables") or {}).items()}
    shared |= await asyncio.to_thread(job_parallel.variables, facts, inputs, outputs, folder, _cores(facts, runtime))
    distribution, instances = facts.get("distribution"), int((facts.get("resources") or {}).get("instanceCount") or 1)
    if facts.get("parallel"):  # one process, the driver, which starts those of all instances
        distribution, instances = None, 1
    group = ranks(distribution, instances, _free_ports(ports_needed(distribution, instances)))
    logs = folder / "user_logs"
    logs.mkdir()
    argv: tuple[str, ...] = ("/bin/bash", "-c", command)
    if any(inputs_at.iterdir()):
        await asyncio.to_thread(protect, inputs_at)
        argv = await asyncio.to_thread(wrap, argv, inputs_at)
    processes = tuple(
        ProcessSpec(argv=argv, env=shared | rank.env, log=str(logs / log_name(rank.index, len(group)))) for rank in group
    )
    limits = facts.get("limits") or {}
    sample_s = system.interval_of(facts, shared, runtime.settings.system_metrics_interval_s)
    return LaunchSpec(
        name=name, processes=processes, cwd=str(code),
        timeout_s=parse_duration(limits["timeout"], "properties.limits.timeout") if limits.get("timeout") else runtime.settings.default_job_timeout or None,
        memory_bytes=memory_limit(facts), sample_s=sample_s, sample_step=await next_step(runtime.db, job) if sample_s else 0,
        **launch_limits(runtime.settings, folder),
    )


def launch_limits(settings: Settings, folder: Path) -> dict[str, Any]:
    """Fields of a LaunchSpec. folder: the job's own."""
    return {
        "folder": str(folder),
        "max_processes": settings.max_job_processes or None,
        "log_bytes": settings.max_job_log_bytes or None,
        "disk_bytes": settings.max_job_disk_bytes or None,
        "free_disk_bytes": settings.min_free_disk_bytes or None,
    }


def _cores(facts: dict[str, Any], runtime: Runtime) -> float:
    """What the job may use: the cores it asks for, else all that one job can have."""
    asked = ((facts.get("resources") or {}).get("properties") or {}).get("cores")
    return min(float(asked or runtime.admission.most_cores()), runtime.admission.most_cores())


def log_name(index: int, count: int) -> str:
    """Names by which the SDK finds and orders the logs."""
    return "std_log.txt" if count == 1 else f"std_log_process_{index}.txt"


def memory_limit(facts: dict[str, Any]) -> int | None:
    """Bytes asked for by resources.properties.memory ("4Gi", "512m", bytes) or docker_args --memory."""
    asked = facts.get("resources") or {}
    text = (asked.get("properties") or {}).get("memory")
    arguments = asked.get("dockerArgs")
    words = arguments.split() if isinstance(arguments, str) else list(arguments or [])
    for at, word in enumerate(words):
        if word.startswith("--memory="):
            text = word.partition("=")[2]
        elif word in ("--memory", "-m") and at + 1 < len(words):
            text = words[at + 1]
    return parse_bytes(str(text)) if text else None


def parse_bytes(text: str) -> int:
    units = {"": 1, "b": 1, "k": 1 << 10, "ki": 1 << 10, "m": 1 << 20, "mi": 1 << 20, "g": 1 << 30, "gi": 1 << 30, "t": 1 << 40, "ti": 1 << 40}
    digits = text.strip().lower().rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text.strip().lower()[len(digits) :].removesuffix("b") if text.strip().lower()[len(digits) :] != "b" else "b"
    try:
        return int(float(digits) * units[unit])
    except (ValueError, KeyError):
        raise ArmError(400, "InvalidResources", f"'{text[:40]}' is not an amount of memory such as 4Gi or 512m.", "properties.resources") from None


async def _fetch_code(runtime: Runtime, workspace: Row, facts: dict[str, Any], code: Path) -> None:
    """A private, writable copy: what the job writes beside its code must not reach the stored snapshot."""
    code.mkdir()
    if not facts.get("codeId"):
        return
    place = await runtime.db.read(locate, workspace, facts["codeId"], "properties.codeId", "codes")
    if not place.account:
        raise ArmError(400, "InvalidCode", "The code lies outside of this server's storage.", "properties.codeId")
    cached = code.with_name("snapshot")
    made = await runtime.blobs.materialize(place.account, place.container, place.path, cached, cache=runtime.data_dir / "cache" / "inputs")
    if not made:
        raise ArmError(404, "CodeNotFound", "The code snapshot of the job holds no file.", "properties.codeId")
    await asyncio.to_thread(copy_writable, cached, code)


async def _fetch_inputs(runtime: Runtime, workspace: Row, facts: dict[str, Any], root: Path, say: Any) -> dict[str, Value]:
    root.mkdir()
    values: dict[str, Value] = {}
    split = job_parallel.input_name(facts)
    for name, given in (facts.get("inputs") or {}).items():
        kind = given["jobInputType"]
        if kind == "literal":
            values[name] = Value(str(given["value"]))
            continue
        target = f"properties.inputs.{name}"
        family = "models" if kind.endswith("_model") else "data"
        place = await runtime.db.read(locate, workspace, given["uri"], target, family)
        if str(given.get("mode", "")).lower() == DIRECT and name != split:
            values[name] = Value(place.readable or place.url or given["uri"], whole=True)
            continue
        path = await _fetch(runtime, place, root / name, kind, target, say)
        values[name] = Value(str(path), whole=True)
    return values


async def _fetch(runtime: Runtime, place: Place, into: Path, kind: str, target: str, say: Any) -> Path:
    """A local, read-only view of an input; a file's own path for a file, the folder otherwise."""
    if not place.account:
        return await _download(runtime, place.url, into, kind, target, say)
    single = await runtime.blobs.info(place.account, place.container, place.path) if place.path and not place.path.endswith("/") else None
    cache = runtime.data_dir / "cache" / "inputs"
    if single is not None and single.kind != "Directory":
        await runtime.blobs.materialize(place.account, place.container, place.path, into, cache=cache)
        return into / place.path.rsplit("/", 1)[-1]
    made = await runtime.blobs.materialize(place.account, place.container, place.path.rstrip("/") + "/" if place.path else "", into, cache=cache)
    if not made:
        raise ArmError(404, "DataNotFound", f"There is no data at '{place.readable or place.path}' for the input '{into.name}'.", target)
    return into


async def _download(runtime: Runtime, url: str, into: Path, kind: str, target: str, say: Any) -> Path:
    if not url.lower().startswith(("http://", "https://")):
        raise ArmError(400, "InvalidUri", f"'{url[:200]}' cannot be downloaded.", target)
    if kind in ("uri_folder", "mltable", "mlflow_model", "triton_model"):
        raise ArmError(400, "InvalidUri", f"An input of type {kind} cannot be read from a web address, which has no folders: '{url[:200]}'.", target)
    say(f"downloading {url}")
    into.mkdir(parents=True)
    path = into / (Path(unquote(urlsplit(url).path)).name or "data")
    web = Outbound(runtime.settings.outbound_allow_http, runtime.settings.outbound_allow_private)
    try:
        async with web.fetch(url) as answer:
            if answer.status_code != 200:
                raise ArmError(400, "DownloadFailed", f"GET {url[:300]} answered {answer.status_code}.", target)
            with path.open("wb") as out:
                async for piece in answer.aiter_bytes(1 << 20):
                    out.write(piece)
    except AddressRefused as refused:
        raise ArmError(400, "AddressRefused", f"{url[:300]} is not downloaded. {refused}", target) from None
    except OutboundFailed as failed:
        raise ArmError(400, "DownloadFailed", str(failed), target) from None
    path.chmod(0o444)
    return path


def _make_outputs(facts: dict[str, Any], root: Path) -> dict[str, Value]:
    root.mkdir()
    values: dict[str, Value] = {}
    for name, given in (facts.get("outputs") or {}).items():
        if name == "default":
            continue
        into = root / name
        into.mkdir()
        values[name] = Value(str(output_path(into, given)), whole=True)
    return values


def output_path(into: Path, given: dict[str, Any]) -> Path:
    """What ${{outputs.x}} stands for: a folder, or for uri_file the file in it that carries the name of the uri."""
    if given.get("jobOutputType") != "uri_file":
        return into
    last = str(given.get("uri") or "").rstrip("/").rsplit("/", 1)[-1]
    return into / (last if last not in ("", ".", "..") else into.name)


def _fresh(folder: Path) -> None:
    if folder.exists():
        remove_tree(folder)
    folder.mkdir(parents=True, mode=0o700)


def remove_tree(folder: Path) -> None:
    """Removes a folder; read-only folders in it too."""
    try:
        shutil.rmtree(folder)
        return
    except FileNotFoundError:
        if not folder.is_dir():  # else something in it was removed at the same time
            return
    except OSError:
        pass
    for path, dirs, _ in os.walk(folder):
        for name in (".", *dirs):
            try:
                os.chmod(Path(path) / name, 0o700)  # noqa: PTH101
            except OSError:
                pass
    shutil.rmtree(folder, ignore_errors=True)


def copy_writable(source: Path, target: Path) -> None:
    for path, _, names in os.walk(source):
        at = target / Path(path).relative_to(source)
        at.mkdir(exist_ok=True, mode=0o755)
        for name in names:
            shutil.copyfile(Path(path) / name, at / name)
            if name.endswith((".sh", ".py")):
                (at / name).chmod(0o755)


def _free_ports(count: int) -> list[int]:
    """Ports that are free now. Held open together while choosing, so that they differ."""
    held = []
    try:
        for _ in range(count):
            probe = socket.socket()
            probe.bind(("127.0.0.1", 0))
            held.append(probe)
        return [probe.getsockname()[1] for probe in held]
    finally:
        for probe in held:
            probe.close()


def workspace_of(job: Row) -> str:
    return parse(job.id).workspace.key

