"""What a generation of a deployment needs on this machine: model, code and environment, and its model servers described."""

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
from lazward.domain.serving import SERVING_REQUIREMENTS
from lazward.execution import serving
from lazward.execution.environments import hold
from lazward.execution.serving import Service
from lazward.orchestration import environments
from lazward.orchestration.data import Place, locate
from lazward.orchestration.environments import Definition
from lazward.orchestration.instances import Instance, generation_folder, log_folder
from lazward.orchestration.job_prepare import copy_writable, remove_tree
from lazward.orchestration.logs import LineLog
from lazward.orchestration.runtime import Runtime
from lazward.storage import resources
from lazward.storage.resources import Row


async def build(runtime: Runtime, row: Row, generation: int) -> list[Instance]:
    """Makes the generation's folder anew, with everything in it, and describes its instances. Nothing of it may run yet."""
    workspace = await runtime.db.read(resources.get, parse(row.id).workspace.key)
    if workspace is None:
        raise ArmError(404, "ResourceNotFound", "The workspace is gone.")
    facts = row.properties
    folder = generation_folder(runtime, row.key, generation)
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
    wanted = await _wanted(runtime, workspace, facts, model if no_code else None)
    say(f"building the environment of generation {generation}")
    environment = await environments.build(runtime, wanted, say, SERVING_REQUIREMENTS)
    hold(environment, folder)
    await runtime.db.write(environments.tell_loosened, row.key, environment, runtime.now())
    variables = dict(wanted.packages.env) | {k: str(v) for k, v in (facts.get("environmentVariables") or {}).items()}
    capacity = int((row.doc.get("sku") or {}).get("capacity") or 1)
    sockets = serving.socket_folder(runtime.data_dir)
    short = hashlib.sha256(row.key.encode()).hexdigest()[:12]
    bundle = str(runtime.settings.layout.bundle)
    try:
        workers = serving.worker_count(variables)
    except ValueError as error:
        raise ArmError(400, "InvalidDeployment", f"{error}.", "properties.environmentVariables.WORKER_COUNT") from None
    instances = []
    for index in range(capacity):
        service = Service(
            python=environment.python, socket=sockets / f"{short}.{generation}.{index}", state=folder / f"state-{index}.json", log=logs / f"inference-server-{index}.txt", app_root=app,
            entry_script=code["scoringScript"] if code else None, model_dir=model_root if facts.get("model") else None,
            mlflow_model=model if no_code else None, workers=workers,
            timeout_s=parse_duration(facts["requestSettings"]["requestTimeout"], "properties.requestSettings.requestTimeout"),
            env={"REQUESTS_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle, "HOME": str(folder), **variables},
        )
        instances.append(Instance(index, service))
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


async def _wanted(runtime: Runtime, workspace: Row, facts: dict[str, Any], mlflow_model: Path | None) -> Definition:
    if facts.get("environmentId"):
        return await environments.definition_of(runtime, workspace.key, facts["environmentId"], "properties.environmentId")
    if mlflow_model is None:
        raise ArmError(400, "InvalidDeployment", "A deployment with a scoring script needs an environment.", "properties.environmentId")
    return Definition(await asyncio.to_thread(model_packages, mlflow_model))


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


def _fresh(folder: Path) -> None:
    if folder.exists():
        remove_tree(folder)
    folder.mkdir(parents=True, mode=0o700)
