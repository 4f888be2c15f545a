"""Calls of MLflow's server that this one does not answer, with the reason: 501 instead of 404, so that nobody looks for a typing error."""

from __future__ import annotations

import re

_UNBUILT: list[tuple[re.Pattern[str], str]] = [(re.compile(pattern), reason) for pattern, reason in (
    (r"gateway(-proxy)?(/.*)?", "this server is no gateway to language models: clients call the models themselves"),
    (r"prompt-optimization(/.*)?", "prompts are not optimized by the server: mlflow.genai.optimize_prompts does it in the client"),
    (r"workspaces(/.*)?", "workspaces of MLflow's kind are not known: each workspace of this server has an address of its own"),
    (r"(scorer|issues|genai/evaluate)/invoke", "the server runs no scorers: mlflow.genai.evaluate does it in the client"),
    (r"graphql", "MLflow's own pages ask by GraphQL; clients do not"),
    (r"assistant(/.*)?|demo/.*|ui-telemetry|runs/create-promptlab-run", "that is of MLflow's own pages, which this server does not show"),
)]


def why(path: str) -> str | None:
    """Why the call is not there; None for what is no call of MLflow's either. path: below api/N.0/mlflow/."""
    return next((reason for pattern, reason in _UNBUILT if pattern.fullmatch(path)), None)
