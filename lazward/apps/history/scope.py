"""What every history route needs: the workspace of its path, and errors in ARM's form."""

from __future__ import annotations

from starlette.responses import Response

from lazward.apps.chain import Context, Surface, render_arm_error
from lazward.contract.errors import ArmError
from lazward.contract.ids import ResourceId, check_name, workspace_id
from lazward.contract.mlflow import MlflowError

WORKSPACE = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{ws}"
_CODES = {400: "BadRequest", 404: "NotFound", 409: "Conflict", 501: "NotImplemented"}


def workspace_of(ctx: Context) -> ResourceId:
    p = ctx.params
    return workspace_id(check_name(p["sub"], "subscriptionId"), check_name(p["group"], "resourceGroupName"), check_name(p["ws"], "workspace"))


def _render(ctx: Context | None, error: ArmError) -> Response:
    """MLflow's words are for MLflow's own routes."""
    if isinstance(error, MlflowError):
        error = ArmError(error.status, _CODES.get(error.status, "UserError"), error.message, error.target, headers=error.headers)
    return render_arm_error(ctx, error)


HISTORY = Surface("history", _render)
