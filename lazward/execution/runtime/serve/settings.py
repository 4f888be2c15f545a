"""What the model server is told, all by environment variables. `lazward.execution.serving` sets them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_MAX_BODY = 100 * 1024 * 1024  # bytes
# Azure's default for run(); the gateway's own time limit of a deployment is usually far shorter.
DEFAULT_SCORING_TIMEOUT_MS = 3_600_000


@dataclass(frozen=True)
class Settings:
    """`socket` is the base path: worker N listens at `socket.N`, the master's probes at `socket.probe`."""

    socket: str
    state: str  # path of the state file (JSON)
    workers: int
    app_root: str | None
    entry_script: str | None  # relative to app_root; None for a model without code
    model_dir: str | None
    mlflow_model: str | None  # folder that holds the file MLmodel
    scoring_timeout_s: float
    max_body: int  # bytes of a request
    cors_origins: tuple[str, ...]
    grace_s: float  # how long a worker may finish what it does after a TERM

    @classmethod
    def read(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Raises ValueError that names the variable."""
        settings = cls(
            socket=_required(env, "LAZWARD_SERVE_SOCKET"),
            state=_required(env, "LAZWARD_SERVE_STATE"),
            workers=int(_number(env, "LAZWARD_SERVE_WORKERS", 1, minimum=1)),
            app_root=env.get("AML_APP_ROOT"),
            entry_script=env.get("AZUREML_ENTRY_SCRIPT"),
            model_dir=env.get("AZUREML_MODEL_DIR"),
            mlflow_model=env.get("LAZWARD_SERVE_MLFLOW_MODEL"),
            scoring_timeout_s=_number(env, "SCORING_TIMEOUT_MS", DEFAULT_SCORING_TIMEOUT_MS, minimum=1) / 1000,
            max_body=int(_number(env, "LAZWARD_SERVE_MAX_BODY", DEFAULT_MAX_BODY, minimum=1)),
            cors_origins=tuple(o.strip() for o in env.get("AML_CORS_ORIGINS", "").split(",") if o.strip()),
            grace_s=_number(env, "LAZWARD_SERVE_GRACE_S", 30, minimum=0),
        )
        if not settings.entry_script and not settings.mlflow_model:
            raise ValueError("neither AZUREML_ENTRY_SCRIPT nor LAZWARD_SERVE_MLFLOW_MODEL is set: nothing to serve")
        return settings


def _required(env: Mapping[str, str], name: str) -> str:
    if not env.get(name):
        raise ValueError(f"the environment variable {name} is not set")
    return env[name]


def _number(env: Mapping[str, str], name: str, default: float, minimum: float) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, not {text!r}") from None
    if not minimum <= value < float("inf"):
        raise ValueError(f"{name} must be at least {minimum}, not {text}")
    return value
