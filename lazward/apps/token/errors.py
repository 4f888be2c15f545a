"""OAuth errors (RFC 6749) with the numbers that msal prints and some scripts test (AADSTS...)."""

from __future__ import annotations

import time

from starlette.responses import Response

from lazward.apps.chain import Context, json_response
from lazward.contract.errors import ArmError

NUMBERS = {
    "invalid_request": 900144, "invalid_client": 7000215, "invalid_grant": 70000, "invalid_scope": 70011, "unauthorized_client": 700016,
    "unsupported_grant_type": 70003, "unsupported_response_type": 700051, "authorization_pending": 70016, "slow_down": 70019, "expired_token": 70020,
    "authorization_declined": 65004, "access_denied": 65004, "temporarily_unavailable": 90033,
}
TENANT_NOT_FOUND, TOO_MANY = 90002, 50053
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class OAuthError(ArmError):
    """error: one of NUMBERS; number: a more exact one of Azure's."""

    def __init__(self, error: str, description: str, status: int = 400, number: int | None = None, headers: dict[str, str] | None = None):
        super().__init__(status, error, description, headers=headers)
        self.number = number or NUMBERS[error]


def render_oauth_error(ctx: Context | None, error: ArmError) -> Response:
    """Also for errors of the chain (a wrong method, a body too large), which have codes of ARM."""
    known = error.code if error.code in NUMBERS else "temporarily_unavailable" if error.status >= 500 else "invalid_request"
    number = error.number if isinstance(error, OAuthError) else NUMBERS[known]
    body = {
        "error": known, "error_description": f"AADSTS{number}: {error.message}", "error_codes": [number],
        "timestamp": time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime()),
        "trace_id": ctx.request_id if ctx else "", "correlation_id": ctx.correlation if ctx else "",
    }
    return json_response(body, error.status, {**NO_STORE, **error.headers})
