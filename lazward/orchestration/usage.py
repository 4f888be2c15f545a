"""Who uses what: what is in use is not deleted under the feet of a job, a deployment or an asset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lazward.contract.errors import ArmError
from lazward.contract.ids import ML, parse
from lazward.domain.resource import Doc
from lazward.domain.uris import DataUri, parse_uri
from lazward.orchestration.data import ARTIFACTS, account_of, asset, home_of, run_folder
from lazward.storage import resources, tasks
from lazward.storage.db import Tx
from lazward.storage.resources import Row

SHOWN = 5
ARTIFACT_STORE = "workspaceartifactstore"
_DEPLOYMENTS = f"{ML}/workspaces/onlineEndpoints/deployments".lower()
_URI_OF = {"data": "dataUri", "models": "modelUri", "codes": "codeUri"}
Reference = tuple[str, str]  # what is named, and the family that azureml:NAME:VERSION means there


def check_unused(row: Row, users: Iterable[str], what: str = "deleted") -> None:
    """Raises ArmError 409 naming who uses the resource."""
    found = list(dict.fromkeys(users))
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise ArmError(409, "ResourceInUse", f"'{row.name}' cannot be {what}: it is used by {', '.join(found[:SHOWN])}{more}.", row.name)


def users_of_asset(tx: Tx, row: Row) -> Iterator[str]:
    """Jobs that are not over and deployments that name a version, or a container's versions. row: of either."""
    home = parse(row.id).workspace
    shared = home.segments[0][0].lower() == "registries"
    for workspace, who, references in _users(tx, None if shared else home.key):
        for text, family in references:
            found = _version(tx, workspace, text, family)
            if found is not None and (found.key == row.key or found.key.startswith(row.key + "/")):
                # A registry is for many; who of them it is, is not for everybody to know.
                yield who if not shared else f"a job or deployment of the workspace '{workspace.name}'"


def users_of_compute(tx: Tx, row: Row) -> Iterator[str]:
    for job in _active_jobs(tx, row.scope):
        if str(job.properties.get("computeId") or "").rstrip("/").rsplit("/", 1)[-1].lower() == row.name.lower():
            yield _job(job)


def users_of_datastore(tx: Tx, row: Row) -> Iterator[str]:
    """Jobs that read or write it, and the assets that lie in it."""
    workspace = resources.get(tx, row.scope)
    if workspace is None:
        return

    def here(text: str, family: str) -> bool:
        found = _read(text, family)
        return found is not None and found.kind == "datastore" and found.name.lower() == row.name.lower() and _at_home(tx, workspace, found)

    for job in _active_jobs(tx, row.scope):
        outputs = [(str(given.get("uri") or ""), "data") for given in (job.properties.get("outputs") or {}).values()]
        if any(here(*reference) for reference in [*_of_job(job.properties), *outputs]):
            yield _job(job)
    for version, text, family in _stored(tx, row.scope):
        if here(text, family):
            yield _asset(version)


def users_of_job(tx: Tx, row: Row) -> Iterator[str]:
    """Assets whose bytes are the job's artifacts, which go with it."""
    workspace = resources.get(tx, row.scope)
    if workspace is None:
        return
    folder = run_folder(row.name) + "/"
    for version, text, family in _stored(tx, row.scope):
        found = _read(text, family)
        if found is None:
            continue
        path = found.path.rstrip("/") + "/"
        if (
            (found.kind == "job_output" and found.name.lower() == row.name.lower() and _at_home(tx, workspace, found))
            or (found.kind == "datastore" and found.name.lower() == ARTIFACT_STORE and path.startswith(folder) and _at_home(tx, workspace, found))
            or (found.kind == "blob" and (found.account, found.container) == (account_of(workspace), ARTIFACTS) and path.startswith(folder))
        ):
            yield _asset(version)


def _users(tx: Tx, workspace: str | None) -> Iterator[tuple[Row, str, list[Reference]]]:
    """Of one workspace (its key), or of all."""
    homes: dict[str, Row | None] = {}
    for job in _active_jobs(tx, workspace):
        if (home := _home(tx, homes, job)) is not None:
            yield home, _job(job), _of_job(job.properties)
    where = {} if workspace is None else {"scope": workspace}
    for row in resources.every(tx, _DEPLOYMENTS, **where):
        if row.properties.get("provisioningState") != "Deleting" and (home := _home(tx, homes, row)) is not None:
            rid = parse(row.id)
            yield home, f"the deployment '{rid.parent.name}/{rid.name}'", _of_deployment(row.properties)


def _home(tx: Tx, known: dict[str, Row | None], row: Row) -> Row | None:
    if row.scope not in known:
        known[row.scope] = resources.get(tx, row.scope)
    return known[row.scope]


def _active_jobs(tx: Tx, workspace: str | None) -> Iterator[Row]:
    """By their open tasks: of all jobs there ever were, few are active."""
    for task in tasks.open_of_kind(tx, "job.run"):
        if workspace is None or task.subject.startswith(workspace + "/"):
            row = resources.get(tx, task.subject)
            if row is not None:
                yield row


def _of_job(facts: Doc) -> list[Reference]:
    inputs = [
        (str(given.get("uri") or ""), "models" if str(given.get("jobInputType")).endswith("_model") else "data") for given in (facts.get("inputs") or {}).values()
    ]
    return [(str(facts.get("environmentId") or ""), "environments"), (str(facts.get("codeId") or ""), "codes"), *inputs]


def _of_deployment(facts: Doc) -> list[Reference]:
    code = facts.get("codeConfiguration") or {}
    return [(str(facts.get("model") or ""), "models"), (str(facts.get("environmentId") or ""), "environments"), (str(code.get("codeId") or ""), "codes")]


def _stored(tx: Tx, workspace: str) -> Iterator[tuple[Row, str, str]]:
    """Every version in the workspace that lies somewhere, where, and its family."""
    for family, member in _URI_OF.items():
        for row in resources.every(tx, f"{ML}/workspaces/{family}/versions", scope=workspace):
            yield row, str(row.properties.get(member) or ""), family


def _read(text: str, family: str) -> DataUri | None:
    try:
        return parse_uri(text, family=family)
    except ArmError:
        return None


def _version(tx: Tx, workspace: Row, text: str, family: str) -> Row | None:
    found = _read(text, family)
    if found is None or found.kind != "asset":
        return None
    try:
        return asset(tx, home_of(tx, workspace, found, "uri"), found, "uri")
    except ArmError:
        return None


def _at_home(tx: Tx, workspace: Row, found: DataUri) -> bool:
    try:
        return home_of(tx, workspace, found, "uri").key == workspace.key
    except ArmError:
        return False


def _job(row: Row) -> str:
    return f"the job '{row.name}' ({row.properties.get('status')})"


def _asset(row: Row) -> str:
    rid = parse(row.id)
    return f"{rid.segments[-2][0]} '{rid.parent.name}:{rid.name}'"
