"""Interactive services of a running job: TensorBoard and JupyterLab on loopback ports, a link that opens VS Code on the folder.

They run beside the job in environments of their own (the job's need not hold them), are started when the job is, and end with it.
One that cannot be started says so in its status; the job itself goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lazward.contract.errors import ArmError
from lazward.domain.package_set import PackageSet
from lazward.domain.ports import LaunchSpec, ProcessSpec
from lazward.orchestration.job_env import base_environment
from lazward.orchestration.runtime import Runtime, launch_name
from lazward.storage import resources
from lazward.storage.db import DatabaseAway, Tx
from lazward.storage.resources import Row

log = logging.getLogger("lazward.worker")

OWN = ("Tracking", "Studio")
NEEDS = {"tensorboard": ("tensorboard", "setuptools<81"), "jupyterlab": ("jupyterlab",)}


async def start_services(runtime: Runtime, job: Row, folder: Path, now: Callable[[], float]) -> None:
    """Starts each service the job asks for; called once the job is launched, and again (attaching) after a restart."""
    asked = {name: facts for name, facts in (job.properties.get("services") or {}).items() if name not in OWN}
    await asyncio.gather(*(_start(runtime, job, folder, name, facts, now) for name, facts in asked.items()))


async def stop_services(runtime: Runtime, job: Row) -> None:
    for name in job.properties.get("services") or {}:
        if name not in OWN:
            await runtime.executor.cancel(_launch(job, name))
            await runtime.executor.wait(_launch(job, name), 15)


async def _start(runtime: Runtime, job: Row, folder: Path, name: str, facts: dict[str, Any], now: Callable[[], float]) -> None:
    kind = str(facts.get("jobServiceType") or facts.get("type") or "").lower().replace("_", "")
    try:
        if kind == "vscode":
            endpoint = f"vscode://file{folder / 'code'}"
        elif kind in NEEDS:
            running = await runtime.executor.poll(_launch(job, name))
            if running.state == "running":
                return  # a worker before this one started it and wrote its endpoint
            endpoint = await _launch_service(runtime, job, folder, name, kind, facts)
        else:
            raise ArmError(400, "UnknownService", f"Services of type '{facts.get('jobServiceType')}' are not offered; JupyterLab, TensorBoard and VSCode are.")
        change = {"status": "Running", "endpoint": endpoint}
    except ArmError as error:
        change = {"status": "Failed", "errorMessage": error.message, "endpoint": ""}
    except DatabaseAway:
        raise
    except Exception as error:
        log.exception("service %s of %s", name, job.name)
        change = {"status": "Failed", "errorMessage": f"{type(error).__name__}: {error}", "endpoint": ""}

    def write(tx: Tx) -> None:
        row = resources.get(tx, job.key)
        if row is not None and name in row.properties.get("services", {}):
            row.properties["services"][name].update(change)
            resources.update(tx, row, now())

    await runtime.db.write(write)


async def _launch_service(runtime: Runtime, job: Row, folder: Path, name: str, kind: str, facts: dict[str, Any]) -> str:
    environment = await runtime.environments.ensure(PackageSet(python="", requirements=NEEDS[kind]), lambda _line: None)
    place = folder / "services" / name
    place.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    code = folder / "code"
    env = base_environment(runtime, environment, place)
    if kind == "tensorboard":
        logdir = (code / str((facts.get("properties") or {}).get("logDir") or "outputs")).resolve()
        if not logdir.is_relative_to(code.resolve()):
            raise ArmError(400, "InvalidService", "logDir leads out of the job's folder.", f"services.{name}.properties.logDir")
        argv = (str(environment.bin / "tensorboard"), "--logdir", str(logdir), "--host", "127.0.0.1", "--port", str(port))
        endpoint = f"http://127.0.0.1:{port}/"
    else:
        env["JUPYTER_TOKEN"] = service_token(runtime.master_key, job.key, name)  # not in argv, which others on the machine could read
        argv = (str(environment.bin / "jupyter-lab"), "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", f"--ServerApp.root_dir={code}")
        endpoint = f"http://127.0.0.1:{port}/lab"
    spec = ProcessSpec(argv=argv, env=env, log=str(place / "service.log"))
    await runtime.executor.start(LaunchSpec(name=_launch(job, name), processes=(spec,), cwd=str(code), grace_s=3))
    for _ in range(300):  # up to 60 s until it listens; the job runs on meanwhile
        if await _listens(port):
            return endpoint
        if (await runtime.executor.wait(_launch(job, name), 0.2)).state == "ended":
            raise ArmError(400, "ServiceEnded", f"The service ended at once; see {place / 'service.log'}.")
    raise ArmError(400, "ServiceSilent", "The service did not answer within 60 s.")


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def service_token(master_key: bytes, job_key: str, service: str) -> str:
    """Token of a notebook server. Not in the job's document, which readers see: run history's serviceinstances gives it to
    those who may write jobs."""
    return hmac.new(master_key, f"service:{job_key}#{service}".encode(), hashlib.sha256).hexdigest()


def _launch(job: Row, service: str) -> str:
    return launch_name(f"{job.key}#{service}", 1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
