"""Errors as Azure Resource Manager words them, and the codes in use."""

from __future__ import annotations

import errno
from typing import Any


class ArmError(Exception):
    """An answer other than success. `target` names the offending field; `details` holds further errors of the same shape."""

    def __init__(
        self, status: int, code: str, message: str, target: str | None = None, details: list[ArmError] | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(f"({code}) {message}")
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.details = details or []
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The envelope {"error": {...}}."""
        return {"error": self.as_dict()}

    def as_dict(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target:
            error["target"] = self.target
        error["details"] = [d.as_dict() for d in self.details]
        error["additionalInfo"] = []
        return error


def as_arm_error(cause: Exception) -> ArmError:
    """Any exception as what an operation ends with; a full disk is said as such."""
    if isinstance(cause, ArmError):
        return cause
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return ArmError(507, "InsufficientStorage", f"A disk of the server is full: {cause}. Make room on it and try again.")
    return ArmError(500, "InternalError", f"{type(cause).__name__}: {cause}")


def bad_request(message: str, target: str | None = None, code: str = "BadRequest") -> ArmError:
    return ArmError(400, code, message, target)


def not_found(what: str, target: str | None = None, code: str = "ResourceNotFound") -> ArmError:
    return ArmError(404, code, f"{what} was not found.", target)


def forbidden(caller: str, action: str, scope: str) -> ArmError:
    return ArmError(
        403,
        "AuthorizationFailed",
        f"The client '{caller}' does not have authorization to perform action '{action}' over scope '{scope}' "
        "or the scope is invalid. If access was recently granted, please refresh your credentials.",
    )


def conflict(message: str, target: str | None = None, code: str = "Conflict") -> ArmError:
    return ArmError(409, code, message, target)


def not_implemented(what: str) -> ArmError:
    """501 is the honest answer for what is not built; docs/coverage.md lists it. Clients do not retry it."""
    return ArmError(501, "NotImplemented", f"{what} is not implemented by this Lazward server (see docs/coverage.md).")
