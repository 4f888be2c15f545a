"""The variables a job sees: a short list of the machine's own, the environment's, and those that Azure ML's and MLflow's
libraries read to find this server (wire contract 12.4). Nothing else is inherited, so no secret of the server's shell leaks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lazward.contract.ids import parse
from lazward.execution.client_plugin import installed
from lazward.execution.environments import Environment, job_overlay
from lazward.orchestration.runtime import Runtime
from lazward.storage.resources import Row

INHERITED = ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
             "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_environment(runtime: Runtime, environment: Environment, folder: Path, overlay: Path | None = None) -> dict[str, str]:
    """PATH leads to the environment, or to the overlay over it into which the job's own `pip install` goes; TMPDIR is the job's own."""
    env = {k: v for k, v in os.environ.items() if k in INHERITED}
    env.setdefault("LANG", "C.UTF-8")
    tmp = folder / "tmp"
    tmp.mkdir(exist_ok=True)
    path = os.environ.get("PATH", SYSTEM_PATH)
    if overlay is not None:
        env |= job_overlay(environment, overlay, path=path, plugin=installed(runtime.data_dir / "cache" / "mlflow-plugin"))
    else:
        env |= {"PATH": f"{environment.bin}:{path}", "VIRTUAL_ENV": str(environment.path)}
    bundle = str(runtime.settings.layout.bundle)
    return env | {"TMPDIR": str(tmp), "PYTHONUNBUFFERED": "1"} | dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"), bundle)


def job_environment(runtime: Runtime, job: Row, workspace: Row, facts: dict[str, Any]) -> dict[str, str]:
    rid = parse(workspace.id)
    settings, name = runtime.settings, job.name
    base = settings.base_url
    experiment = facts["experimentName"]
    owner = (job.doc.get("lazward") or {}).get("submittedBy", "")
    token, secret = runtime.tokens.for_job(owner, workspace.key, name)
    tracking = f"azureml://{base.removeprefix('https://')}/mlflow/v1.0{rid}"
    return {
        "MLFLOW_TRACKING_URI": tracking, "MLFLOW_TRACKING_TOKEN": token, "MLFLOW_RUN_ID": name, "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_EXPERIMENT_ID": (job.doc.get("lazward") or {}).get("experimentId", ""), "MLFLOW_EXPERIMENT_NAME": experiment,
        "AZUREML_RUN_ID": name, "AZUREML_RUN_TOKEN": token, "AZUREML_EXPERIMENT_ID": (job.doc.get("lazward") or {}).get("experimentId", ""),
        "AZUREML_EXPERIMENT_SCOPE": f"{rid}/experiments/{experiment}", "AZUREML_ROOT_RUN_ID": name, "HISTORY_RUN_ID": name,
        "AZUREML_ARM_SUBSCRIPTION": rid.subscription, "AZUREML_ARM_RESOURCEGROUP": rid.group, "AZUREML_ARM_WORKSPACE_NAME": rid.name,
        "AZUREML_ARM_PROJECT_NAME": experiment, "AZUREML_WORKSPACE_ID": workspace.properties["workspaceId"], "AZUREML_WORKSPACE_SCOPE": str(rid),
        "AZUREML_SERVICE_ENDPOINT": base, "AZUREML_DISCOVERY_SERVICE_ENDPOINT": f"{base}/discovery", "AZUREML_RUN_HISTORY_SERVICE_ENDPOINT": base,
        "AZUREML_CURRENT_CLOUD": "Lazward", "ARM_CLOUD_METADATA_URL": f"{base}/metadata/endpoints?api-version=2019-05-01",
        "REGISTRY_DISCOVERY_ENDPOINT_URL": f"{base}/",
        "IDENTITY_ENDPOINT": f"{base}/msi/token", "IDENTITY_HEADER": secret, "MSI_ENDPOINT": f"{base}/msi/token", "MSI_SECRET": secret,
        "AZUREML_COMPUTE": str(facts.get("computeId") or "serverless").rsplit("/", 1)[-1], "AZ_BATCH_NODE_ID": "local",
    }
