"""Modules that scoring scripts import and that Azure's images bring along: request and response classes, inference-schema,
the data collector. A real package in the environment wins, save for the request classes: they belong to the server."""

from __future__ import annotations

import sys
from typing import Any

from ..messages import Reply, Request
from .finder import install

__all__ = ["aml_request", "install", "is_raw", "is_response", "response_reply", "schema_of"]

RAW_ATTRIBUTE = "__lazward_rawhttp__"


def is_raw(run: Any) -> bool:
    """True for a run() decorated with @rawhttp."""
    return bool(getattr(run, RAW_ATTRIBUTE, False))


def schema_of(run: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(input, output) JSON schemas of a run() decorated by inference-schema, real or ours; None for another."""
    registry = sys.modules.get("inference_schema.schema_util")  # the real one comes along with its decorators
    if registry is None:
        from . import decorators as registry
    if not registry.is_schema_decorated(run):
        return None
    return registry.get_input_schema(run), registry.get_output_schema(run)


def aml_request(request: Request) -> Any:
    """The request object for a @rawhttp script."""
    from .aml import build_request

    return build_request(request)


def is_response(result: Any) -> bool:
    """True for an AMLResponse and for the responses of werkzeug and flask."""
    return hasattr(result, "iter_encoded") and hasattr(result, "status_code") and hasattr(result, "headers")


def response_reply(response: Any) -> Reply:
    """The reply that such a response stands for. A streamed one stays a stream."""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.items()
        if name.lower() not in ("content-length", "connection", "transfer-encoding")
    ]
    body = response.iter_encoded() if response.is_streamed else b"".join(response.iter_encoded())
    run_failed = getattr(response, "run_function_failed", None)
    return Reply(response.status_code, body, None, headers, run_failed=run_failed)
