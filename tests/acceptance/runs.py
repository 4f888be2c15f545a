"""Submitting an example's YAML as the CLI does, and waiting for its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from azure.ai.ml import MLClient, load_job


def submit(client: MLClient, path: Path, *overrides: dict[str, Any]):
    return client.jobs.create_or_update(load_job(path, params_override=list(overrides)))


def finish(client: MLClient, job: Any, expect: str = "Completed"):
    """Streams to the end, as `az ml job create --stream` does; returns the job."""
    try:
        client.jobs.stream(job.name)
    except Exception as error:
        if expect == "Completed":
            raise AssertionError(f"{job.name} failed: {error}") from error
    ended = client.jobs.get(job.name)
    assert ended.status == expect, ended.status
    return ended


def download(client: MLClient, name: str, into: Path) -> Path:
    client.jobs.download(name, download_path=str(into), all=True)
    return into


def log_of(client: MLClient, name: str, into: Path) -> str:
    return (download(client, name, into) / "artifacts" / "user_logs" / "std_log.txt").read_text()


def tracking(client: MLClient):
    """mlflow, pointed at the workspace; imported late because the azureml plugin reads the environment when it is imported."""
    import mlflow

    mlflow.set_tracking_uri(client.workspaces.get(client.workspace_name).mlflow_tracking_uri)
    return mlflow
