"""Where data lies: from the URI in a job or asset to a place in the blob store, or an address on the web."""

from __future__ import annotations

from dataclasses import dataclass

from lazward.contract.errors import ArmError
from lazward.contract.ids import ML, ResourceId, parse
from lazward.domain.blobs.names import storage_account
from lazward.domain.uris import DataUri, parse_uri
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row

ARTIFACTS = "azureml"  # container behind workspaceartifactstore
_WORKSPACES, _REGISTRIES = f"{ML}/workspaces".lower(), f"{ML}/registries".lower()


@dataclass(frozen=True)
class Place:
    """account/container/path in our blob store; or url alone."""

    account: str = ""
    container: str = ""
    path: str = ""
    url: str = ""
    readable: str = ""  # the azureml:// form, for people and run history


def run_folder(run: str) -> str:
    """Where a run's logs and artifacts lie in the artifact container."""
    return f"ExperimentRun/dcid.{run}"


def account_of(workspace: Row) -> str:
    return workspace.lookup or storage_account(workspace.properties["workspaceId"])


def locate(tx: Tx, workspace: Row, uri: str, target: str = "uri", family: str = "data", depth: int = 0) -> Place:
    """Raises ArmError 400/404 naming `target` when the URI leads nowhere. Looks at names only, not whether bytes are there."""
    if depth > 8:
        raise ArmError(400, "InvalidUri", "The uri leads in a circle.", target)
    found = parse_uri(uri, target, family)
    home = home_of(tx, workspace, found, target)
    if found.kind == "datastore":
        return _in_datastore(tx, home, found, target)
    if found.kind == "job_output":
        return _job_output(tx, home, found, target, depth)
    if found.kind == "asset":
        version = asset(tx, home, found, target)
        uri_of = {"data": "dataUri", "models": "modelUri", "codes": "codeUri"}.get(found.family)
        if not uri_of or not version.properties.get(uri_of):
            raise ArmError(400, "InvalidUri", f"The asset '{found.name}' holds no data.", target)
        place = locate(tx, home, version.properties[uri_of], target, family, depth + 1)  # what lies in a registry is the registry's
        return Place(place.account, place.container, _join(place.path, found.path), place.url, place.readable) if found.path else place
    if found.kind == "blob":
        if found.account == account_of(home):
            return Place(found.account, found.container, found.path)
        # Anybody else's storage, another workspace's on this server too, is the web: it shows what it shows to strangers (S5).
        return Place(url=found.url)
    return Place(url=found.url)


def asset(tx: Tx, home: Row, found: DataUri, target: str) -> Row:
    """The version an asset URI means: by version, by label 'latest', or the newest when neither is given."""
    container = f"{home.id}/{found.family}/{found.name}"
    version = found.version
    if not version:
        if found.label not in ("", "latest"):
            raise ArmError(400, "InvalidLabel", f"The label '{found.label}' is not known; 'latest' is.", target)
        kind = f"{parse(home.id).full_type}/{found.family}/versions"
        rows, _ = resources.page(tx, kind, 1, parent=container, newest_first=True, archived=False)
        if not rows:
            raise ArmError(404, "ResourceNotFound", f"'{found.name}' in {found.family} was not found or has no version that is not archived.", target)
        return rows[0]
    row = resources.get(tx, f"{container}/versions/{version}")
    if row is None:
        raise ArmError(404, "ResourceNotFound", f"Version '{version}' of '{found.name}' in {found.family} was not found.", target)
    return row


def home_of(tx: Tx, workspace: Row, found: DataUri, target: str) -> Row:
    """The workspace or registry a URI speaks of."""
    if found.registry:
        rows = [r for r in resources.every(tx, _REGISTRIES) if r.name.lower() == found.registry.lower()]
        if not rows:
            raise ArmError(404, "RegistryNotFound", f"The registry '{found.registry}' was not found.", target)
        return rows[0]
    named, here = found.workspace.lower(), parse(workspace.id)
    if not named or named == workspace.properties.get("workspaceId", "").lower():
        return workspace
    if named == workspace.name.lower() and found.group.lower() in ("", here.group.lower()) and found.subscription.lower() in ("", here.subscription.lower()):
        return workspace
    # Another workspace's data would need that workspace's permissions; jobs carry those of their own workspace only.
    raise ArmError(403, "CrossWorkspaceAccess", f"The uri names the workspace '{found.workspace}'; data of another workspace is shared through a registry.", target)


def _in_datastore(tx: Tx, home: Row, found: DataUri, target: str) -> Place:
    row = resources.get(tx, f"{home.id}/datastores/{found.name}")
    if row is None:
        raise ArmError(404, "DatastoreNotFound", f"The datastore '{found.name}' was not found.", target)
    facts = row.properties
    container = facts.get("containerName") or facts.get("filesystem") or facts.get("fileShareName") or ""
    # In path style the account's name is prefixed with our host: "localhost:8443/ACCOUNT".
    account = str(facts.get("accountName") or "").rsplit("/", 1)[-1].lower()
    # Like the ids, this spelling is what run history and the SDK's download read.
    readable = f"azureml://{_arm_piece(home)}/datastores/{row.name}/paths/{found.path}"
    if account == account_of(home):
        return Place(account, container, found.path, readable=readable)
    if resources.by_lookup(tx, (_WORKSPACES, _REGISTRIES), account):
        # A datastore is made by who may write datastores here; that says nothing about their rights there (S5).
        raise ArmError(403, "CrossWorkspaceAccess", f"The datastore '{row.name}' leads into the storage of another workspace; data is shared through a registry.", target)
    endpoint = facts.get("endpoint") or "core.windows.net"
    return Place(url=f"https://{account}.blob.{endpoint}/{container}/{found.path}", readable=readable)


def _job_output(tx: Tx, home: Row, found: DataUri, target: str, depth: int) -> Place:
    row = resources.get(tx, f"{home.id}/jobs/{found.name}")
    output = "default" if found.output in ("artifacts", "default") else found.output
    facts = (row.properties.get("outputs") or {}).get(output) if row else None
    if facts and output != "default":
        place = locate(tx, home, facts["uri"], target, depth=depth + 1)
        return Place(place.account, place.container, _join(place.path, found.path), place.url, place.readable)
    if row is None and output != "default":
        raise ArmError(404, "JobNotFound", f"The job '{found.name}' was not found.", target)
    if facts is None and output != "default":
        raise ArmError(404, "OutputNotFound", f"The job '{found.name}' has no output '{found.output}'.", target)
    folder = _join(run_folder(found.name), found.path)
    readable = f"azureml://{_arm_piece(home)}/datastores/workspaceartifactstore/paths/{folder}"
    return Place(account_of(home), ARTIFACTS, folder, readable=readable)


def _arm_piece(home: Row) -> str:
    rid: ResourceId = parse(home.id)
    return f"subscriptions/{rid.subscription}/resourcegroups/{rid.group}/workspaces/{rid.name}"


def _join(base: str, path: str) -> str:
    return "/".join(p for p in (base.rstrip("/"), path.lstrip("/")) if p)
