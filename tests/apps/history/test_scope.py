from __future__ import annotations

import json

import pytest

from lazward.apps.history.scope import HISTORY
from lazward.contract.errors import ArmError
from lazward.contract.mlflow import MlflowError, invalid, missing


@pytest.mark.parametrize(("error", "status", "code"), [
    (missing("x"), 404, "NotFound"), (invalid("x", "path"), 400, "BadRequest"), (MlflowError("NOT_IMPLEMENTED", "x"), 501, "NotImplemented"), (ArmError(403, "AuthorizationFailed", "x"), 403, "AuthorizationFailed"),
])
def test_errors_are_arms(error, status, code):
    answer = HISTORY.render_error(None, error)
    assert (answer.status_code, json.loads(answer.body)["error"]["code"]) == (status, code)
