"""Errors as MLflow words them: {"error_code": CODE, "message": ...}, and the HTTP status each code travels with."""

from __future__ import annotations

from typing import Any

from lazward.contract.errors import ArmError

STATUS = {
    "INVALID_PARAMETER_VALUE": 400,
    "BAD_REQUEST": 400,
    "INVALID_STATE": 400,  # 500 in MLflow, which its client retries for minutes; nothing gets better by repeating it
    "RESOURCE_ALREADY_EXISTS": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "ENDPOINT_NOT_FOUND": 404,
    "RESOURCE_CONFLICT": 409,
    "REQUEST_LIMIT_EXCEEDED": 413,
    "INTERNAL_ERROR": 500,
    "NOT_IMPLEMENTED": 501,
}

# What other layers raise, in MLflow's words.
_FROM_HTTP = {
    400: "INVALID_PARAMETER_VALUE", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "RESOURCE_DOES_NOT_EXIST", 405: "ENDPOINT_NOT_FOUND",
    409: "RESOURCE_CONFLICT", 413: "REQUEST_LIMIT_EXCEEDED", 421: "BAD_REQUEST", 500: "INTERNAL_ERROR", 501: "NOT_IMPLEMENTED",
}


class MlflowError(ArmError):
    """An MLflow error code with its usual status; an ArmError, so that every surface can answer it."""

    def __init__(self, code: str, message: str, target: str | None = None, status: int | None = None):
        super().__init__(status or STATUS[code], code, message, target)


def invalid(message: str, target: str | None = None) -> MlflowError:
    return MlflowError("INVALID_PARAMETER_VALUE", message, target)


def missing(message: str) -> MlflowError:
    return MlflowError("RESOURCE_DOES_NOT_EXIST", message)


def error_body(error: ArmError) -> dict[str, Any]:
    """The envelope for any error: codes that are not MLflow's are told by their HTTP status."""
    code = error.code if isinstance(error, MlflowError) else _FROM_HTTP.get(error.status, "INTERNAL_ERROR")
    return {"error_code": code, "message": error.message}
