"""Members of the `properties` of models' and prompts' documents: what MLflow knows of them and ARM has no member for."""

from __future__ import annotations

# Of a version: the source as the client wrote it, the run, the logged model, who registered it.
SOURCE, RUN, RUN_LINK, LOGGED_MODEL, USER = "mlflow.source", "mlflow.runId", "mlflow.runLink", "mlflow.modelId", "mlflow.user"
ALIAS = "mlflow.alias."  # of a model: {mlflow.alias.NAME: version}


def aliases_of(properties: dict[str, str]) -> dict[str, str]:
    """alias -> version."""
    return {key[len(ALIAS) :]: version for key, version in properties.items() if key.startswith(ALIAS)}
