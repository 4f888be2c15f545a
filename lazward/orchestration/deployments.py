"""The life of a deployment: build, load beside the old one, switch, drain the old one; then keep what should run running.

A generation is one set of instances (process groups, each with its model server). A new spec makes a new generation on sockets of
its own; the gateway switches when every new instance is ready, so no request is dropped, and a spec that fails leaves the old
generation serving.
"""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
from pathlib import Path
from typing import Any

import msgspec

from lazward.contract.errors import ArmError
from lazward.contract.ids import parse
from lazward.domain.durations import parse_duration
from lazward.domain.environments import translate
from lazward.domain.package_set import EnvironmentSpec, PackageSet
from lazward.domain.ports import LaunchSpec
from lazward.domain.serving import SERVING_REQUIREMENTS
from lazward.execution import serving
from lazward.execution.environments import hold
from lazward.execution.serving import Service
from lazward.orchestration import environments
from lazward.orchestration.data import Place, locate
from lazward.orchestration.durable import Outcome, Work, handler
from lazward.orchestration.gateway import sync_gateway
from lazward.orchestration.job_prepare import copy_writable, remove_tree
from lazward.orchestration.logs import LineLog, tail
from lazward.orchestration.runtime import Runtime, launch_name
from lazward.storage import resources, tasks
from lazward.storage.db import Tx
from lazward.storage.resources import Row
from lazward.storage.tasks import Task

READY_S = 900.0  # a model may be large; one that fails says so at once
KEEP_POLL_S = 2.0
# What a running instance depends on. A PUT that changes none of it changes no process.
SPEC = ("model", "environmentId", "codeConfiguration", "environmentVariables", "instanceType", "requestSettings", "modelMountPath")


class Instance(msgspec.Struct):
    """One model server of a generation: `launch` is its name with the executor, `restarts` makes a new one each time."""

    index: int
    service: Service
    restarts: int = 0


def check_references(tx: Tx, deployment: Row) -> None:
    """What the deployment names must be there when it is written. ArmError 400 naming the member; nothing is stored then."""
    workspace = resources.get(tx, deployment.scope)
    assert workspace is not None
    facts = deployment.properties
    code = (facts.get("codeConfiguration") or {}).get("codeId")
    for member, given, check in (
        ("model", facts.get("model"), lambda text, target: locate(tx, workspace, text, target, "models")),
        ("environmentId", facts.get("environmentId"), lambda text, target: environments.check(tx, workspace, text, target)),
        ("codeConfiguration.codeId", code, lambda text, target: locate(tx, workspace, text, target, "codes")),
    ):
        if given:
            try:
                check(given, f"properties.{member}")
            except ArmError as error:
                raise ArmError(400, error.code, error.message, f"properties.{member}") from None


def digest_of(row: Row) -> str:
    facts = {name: row.properties.get(name) for name in SPEC}
    return hashlib.sha256(msgspec.json.encode([facts, (row.doc.get("sku") or {}).get("capacity")], order="deterministic")).hexdigest()[:16]


def log_folder(runtime_data: Path, key: str) -> Path:
    """Where the logs of a deployment lie, whatever its generation."""
    return runtime_data / "serving" / hashlib.sha256(key.encode()).hexdigest()[:24] / "logs"


def _failed(tx: Tx, task: Task, error: ArmError, now: float) -> None:
    row = resources.get(tx, task.subject)
    if row is not None:
        row.properties["provisioningState"] = "Failed"
        row.doc.setdefault("lazward", {})["error"] = error.as_dict()
        resources.update(tx, row, now)


@handler("deployment.apply", on_failure=_failed)
async def apply_deployment(work: Work) -> Outcome:
    runtime: Runtime = work.services
    row = await runtime.db.read(resources.get, work.subject)
    if row is None or row.properties.get("provisioningState") == "Deleting":
        return Outcome()
    current = row.doc.get("lazward") or {}
    digest = digest_of(row)
    now = work.now()
    if current.get("digest") == digest and await _alive(runtime, row):
        await sync_gateway(runtime)
        return Outcome(also=lambda tx: _succeeded(tx, work.subject, now))
    generation = work.state.get("generation") or int(current.get("generation") or 0) + 1
    await work.checkpoint(generation=generation)
    instances: list[Instance] = []
    try:
        instances = await _bring_up(runtime, row, generation)
    except BaseException:
        await _stop(runtime, row.key, generation, int((row.doc.get("sku") or {}).get("capacity") or 1))
        raise
    old = int(current.get("generation") or 0)
    await work.checkpoint(lambda tx: _switch(tx, row, generation, digest, instances, now), phase="switched")
    await sync_gateway(runtime)
    if old and old != generation:
        await _stop(runtime, row.key, old, len(current.get("instances") or []) or 1)
        await asyncio.to_thread(remove_tree, _folder(runtime, row.key, old))

    def done(tx: Tx) -> None:
        _succeeded(tx, work.subject, now)
        tasks.enqueue(tx, "deployment.keep", work.subject, {}, now)

    return Outcome(also=done)


@handler("deployment.delete")
async def delete_deployment(work: Work) -> Outcome:
    runtime: Runtime = work.services
    row = await runtime.db.read(resources.get, work.subject)
    if row is not None:
        facts = row.doc.pop("lazward", None) or {}
        now = work.now()
        await runtime.db.write(lambda tx: resources.update(tx, row, now) and None)
        await sync_gateway(runtime)
        await stop_deployment(runtime, row, facts)
    return Outcome(also=lambda tx: resources.delete(tx, work.subject) and None)


@handler("deployment.keep")
async def keep_deployment(work: Work) -> Outcome:
    """Starts again what ended by itself (a crash of the model server, a restart of the machine), with a growing pause."""
    runtime: Runtime = work.services
    while True:
        row = await runtime.db.read(resources.get, work.subject)
        facts = (row.doc.get("lazward") or {}) if row else {}
        if row is None or not facts.get("instances") or row.properties.get("provisioningState") == "Deleting":
            return Outcome()
        generation = facts["generation"]
        for instance in [msgspec.convert(i, Instance) for i in facts["instances"]]:
            status = await runtime.executor.poll(_launch(row.key, generation, instance))
            if status.state == "running":
                continue
            await asyncio.sleep(min(30.0, 0.2 * 2 ** min(instance.restarts, 8)))
            instance.restarts += 1
            now = work.now()
            # The count is written first: a worker that dies here starts the same launch again, not a second one.
            if await runtime.db.write(_count_restart, row.key, generation, instance, now):
                await _start(runtime, row.key, generation, instance)
        await asyncio.sleep(KEEP_POLL_S)


async def stop_deployment(runtime: Runtime, row: Row, facts: dict[str, Any]) -> None:
    if facts.get("generation"):
        for instance in [msgspec.convert(i, Instance) for i in facts.get("instances") or []]:
            await _stop_launch(runtime, _launch(row.key, facts["generation"], instance))
        await asyncio.to_thread(remove_tree, _folder(runtime, row.key, facts["generation"]).parent)


async def _bring_up(runtime: Runtime, row: Row, generation: int) -> list[Instance]:
    """Environment, files and processes of a generation; returns when every instance is ready."""
    workspace = await runtime.db.read(resources.get, parse(row.id).workspace.key)
    if workspace is None:
        raise ArmError(404, "ResourceNotFound", "The workspace is gone.")
    facts = row.properties
    folder = _folder(runtime, row.key, generation)
    await asyncio.to_thread(_fresh, folder)
    logs = log_folder(runtime.data_dir, row.key)
    logs.mkdir(parents=True, exist_ok=True)
    say = LineLog(logs / "storage-initializer.txt")
    model_root, model = folder / "model", None
    if facts.get("model"):
        model = await _fetch_model(runtime, workspace, facts["model"], model_root, say)
    code = facts.get("codeConfiguration")
    no_code = not code
    if no_code and not (model is not None and (model / "MLmodel").is_file()):
        raise ArmError(400, "InvalidDeployment", "A deployment without a scoring script needs an MLflow model; the model has no MLmodel file.", "properties.model")
    app = folder / "code"
    app.mkdir()
    if code and code.get("codeId"):
        place = await runtime.db.read(locate, workspace, code["codeId"], "properties.codeConfiguration.codeId", "codes")
        await runtime.blobs.materialize(place.account, place.container, place.path, folder / "snapshot", cache=runtime.data_dir / "cache" / "inputs")
        await asyncio.to_thread(copy_writable, folder / "snapshot", app)
    packages = await _packages(runtime, workspace, facts, model if no_code else None)
    say(f"building the environment of generation {generation}")
    environment = await environments.build(runtime, packages, say, SERVING_REQUIREMENTS)
    hold(environment, folder)
    variables = dict(packages.env) | {k: str(v) for k, v in (facts.get("environmentVariables") or {}).items()}
    capacity = int((row.doc.get("sku") or {}).get("capacity") or 1)
    sockets = serving.socket_folder(runtime.data_dir)
    short = hashlib.sha256(row.key.encode()).hexdigest()[:12]
    bundle = str(runtime.settings.layout.bundle)
    instances = []
    for index in range(capacity):
        service = Service(
            python=environment.python, socket=sockets / f"{short}.{generation}.{index}", state=folder / f"state-{index}.json", log=logs / f"inference-server-{index}.txt", app_root=app,
            entry_script=code["scoringScript"] if code else None, model_dir=model_root if facts.get("model") else None,
            mlflow_model=model if no_code else None, workers=serving.worker_count(variables),
            timeout_s=parse_duration(facts["requestSettings"]["requestTimeout"], "properties.requestSettings.requestTimeout"),
            env={"REQUESTS_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle, "HOME": str(folder), **variables},
        )
        instances.append(Instance(index, service))
    try:
        for instance in instances:
            await _start(runtime, row.key, generation, instance)
    except ValueError as error:
        raise ArmError(400, "InvalidDeployment", str(error), "properties") from None
    await asyncio.gather(*(_until_ready(runtime, row.key, generation, instance) for instance in instances))
    say(f"generation {generation} is ready")
    return instances


async def _fetch_model(runtime: Runtime, workspace: Row, uri: str, root: Path, say: Any) -> Path:
    """The model below `root` under its own name, as scoring scripts join it to AZUREML_MODEL_DIR. Returns its path."""
    place: Place = await runtime.db.read(locate, workspace, uri, "properties.model", "models")
    if not place.account:
        raise ArmError(400, "InvalidModel", "The model lies outside of this server's storage.", "properties.model")
    cache = runtime.data_dir / "cache" / "inputs"
    name = posixpath.basename(place.path.rstrip("/")) or "model"
    say(f"fetching the model {uri}")
    single = await runtime.blobs.info(place.account, place.container, place.path)
    if single is not None and single.kind != "Directory":
        await runtime.blobs.materialize(place.account, place.container, place.path, root, cache=cache)
        return root / name
    made = await runtime.blobs.materialize(place.account, place.container, place.path.rstrip("/") + "/", root / name, cache=cache)
    if not made:
        raise ArmError(404, "ModelNotFound", f"There are no files at the model's place '{place.readable or place.path}'.", "properties.model")
    return root / name


async def _packages(runtime: Runtime, workspace: Row, facts: dict[str, Any], mlflow_model: Path | None) -> PackageSet:
    if facts.get("environmentId"):
        return await environments.packages_of(runtime, workspace.key, facts["environmentId"], "properties.environmentId")
    if mlflow_model is None:
        raise ArmError(400, "InvalidDeployment", "A deployment with a scoring script needs an environment.", "properties.environmentId")
    return await asyncio.to_thread(model_packages, mlflow_model)


def model_packages(model: Path) -> PackageSet:
    """The packages an MLflow model says it needs (conda.yaml, else python_env.yaml and requirements.txt), and mlflow itself."""
    texts = {p.name: p.read_text() for p in (model / n for n in ("conda.yaml", "requirements.txt", "python_env.yaml")) if p.is_file()}
    if "conda.yaml" in texts:
        packages = translate(EnvironmentSpec(name="model", conda_file=texts["conda.yaml"], context_files={"requirements.txt": texts.get("requirements.txt", "")}))
    else:
        conda: dict[str, Any] = {"dependencies": [{"pip": texts.get("requirements.txt", "").splitlines()}]}
        for line in texts.get("python_env.yaml", "").splitlines():
            if line.startswith("python:"):
                conda["dependencies"].insert(0, "python=" + line.split(":", 1)[1].strip().strip("\"'").rpartition(".")[0])
        packages = translate(EnvironmentSpec(name="model", conda_file=conda))
    has = {r.split("[")[0].split("=")[0].split("<")[0].split(">")[0].strip().lower() for r in packages.requirements}
    return packages if {"mlflow", "mlflow-skinny"} & has else msgspec.structs.replace(packages, requirements=(*packages.requirements, "mlflow-skinny"))


async def _start(runtime: Runtime, key: str, generation: int, instance: Instance) -> None:
    spec = LaunchSpec(
        name=_launch(key, generation, instance), processes=(serving.process_spec(instance.service),), cwd=str(instance.service.app_root), grace_s=instance.service.grace_s + 5,
    )
    await runtime.executor.start(spec)


async def _until_ready(runtime: Runtime, key: str, generation: int, instance: Instance) -> None:
    """Returns when the model is loaded; fails as soon as it is known that it will not be."""
    name = _launch(key, generation, instance)
    deadline = runtime.now() + READY_S
    while runtime.now() < deadline:
        status = await asyncio.to_thread(serving.read_status, instance.service.state)
        if status is not None and status.ready:
            return
        launch = await runtime.executor.wait(name, 0.05)
        if launch.state == "ended" or (status is not None and status.status == "failed"):
            status = await asyncio.to_thread(serving.read_status, instance.service.state)
            evidence = (status.traceback or status.error or "") if status else ""
            evidence = evidence or tail(instance.service.log, 20) or launch.message
            raise ArmError(400, "DeploymentFailed", f"The model server could not load the model:\n{evidence}", "properties")
    raise ArmError(400, "DeploymentTimedOut", f"The model was not ready within {READY_S:g} s:\n{tail(instance.service.log, 20)}", "properties")


async def _alive(runtime: Runtime, row: Row) -> bool:
    facts = row.doc.get("lazward") or {}
    for instance in [msgspec.convert(i, Instance) for i in facts.get("instances") or []]:
        if (await runtime.executor.poll(_launch(row.key, facts["generation"], instance))).state != "running":
            return False
    return bool(facts.get("instances"))


async def _stop(runtime: Runtime, key: str, generation: int, capacity: int) -> None:
    """Ends a generation's launches; TERM lets the model servers finish what they are at."""
    row = await runtime.db.read(resources.get, key)
    known = [msgspec.convert(i, Instance) for i in ((row.doc.get("lazward") or {}).get("instances") or [])] if row and (row.doc.get("lazward") or {}).get("generation") == generation else []
    names = [_launch(key, generation, i) for i in known] or [launch_name(f"{key}#{generation}.{index}", 0) for index in range(capacity)]
    await asyncio.gather(*(_stop_launch(runtime, name) for name in names))


async def _stop_launch(runtime: Runtime, name: str) -> None:
    if (await runtime.executor.poll(name)).state == "unknown":
        return
    await runtime.executor.cancel(name)
    await runtime.executor.wait(name, 40)
    if (await runtime.executor.poll(name)).state == "ended":
        await runtime.executor.forget(name)


def _switch(tx: Tx, row: Row, generation: int, digest: str, instances: list[Instance], now: float) -> None:
    found = resources.get(tx, row.key)
    if found is not None:
        found.doc["lazward"] = {"generation": generation, "digest": digest, "instances": [msgspec.to_builtins(i, enc_hook=str) for i in instances]}
        resources.update(tx, found, now)


def _succeeded(tx: Tx, key: str, now: float) -> None:
    row = resources.get(tx, key)
    if row is not None and row.properties.get("provisioningState") != "Deleting":
        row.properties["provisioningState"] = "Succeeded"
        resources.update(tx, row, now)


def _count_restart(tx: Tx, key: str, generation: int, instance: Instance, now: float) -> bool:
    row = resources.get(tx, key)
    facts = (row.doc.get("lazward") or {}) if row else {}
    if row is None or facts.get("generation") != generation:
        return False
    facts["instances"] = [msgspec.to_builtins(instance, enc_hook=str) if i["index"] == instance.index else i for i in facts["instances"]]
    resources.update(tx, row, now)
    return True


def _launch(key: str, generation: int, instance: Instance) -> str:
    return launch_name(f"{key}#{generation}.{instance.index}", instance.restarts)


def _folder(runtime: Runtime, key: str, generation: int) -> Path:
    return runtime.folder("serving", key) / str(generation)


def _fresh(folder: Path) -> None:
    if folder.exists():
        remove_tree(folder)
    folder.mkdir(parents=True, mode=0o700)
