from __future__ import annotations

import pytest
from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS

from lazward.contract.errors import ArmError, forbidden
from lazward.contract.mlflow import STATUS, MlflowError, error_body, invalid, missing


@pytest.mark.parametrize("code", sorted(STATUS))
def test_codes_travel_with_mlflows_own_statuses(code):
    if code in ("INVALID_STATE", "REQUEST_LIMIT_EXCEEDED"):  # 500 and 429 make the client repeat what cannot get better
        assert 400 <= STATUS[code] < 500
    else:
        assert STATUS[code] == ERROR_CODE_TO_HTTP_STATUS[code]


def test_envelopes():
    assert error_body(invalid("no", "x")) == {"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}
    assert error_body(missing("gone"))["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert error_body(forbidden("me", "a", "/"))["error_code"] == "PERMISSION_DENIED"
    assert error_body(ArmError(401, "InvalidAuthenticationToken", "x"))["error_code"] == "UNAUTHENTICATED"
    assert error_body(ArmError(418, "Teapot", "x"))["error_code"] == "INTERNAL_ERROR"
    assert MlflowError("RESOURCE_ALREADY_EXISTS", "x").status == 400
