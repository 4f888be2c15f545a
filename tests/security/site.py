"""A whole control plane as built for production, with two workspaces in one group, one in another, a registry, and somebody of every
role. Tokens are real ones of the real authority."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lazward.contract.caller import Caller
from lazward.contract.ids import ML
from lazward.domain import rbac_roles
from lazward.identity.sas import account_key
from lazward.identity.tokens import hash_secret, new_secret
from lazward.storage import access
from lazward.storage.access import Principal
from lazward.storage.db import Tx
from tests.control_plane import Answer, Plane, make_plane

MANAGEMENT, STORAGE = "https://management.azure.com/", "https://storage.azure.com/"
ROLES = {
    "Owner": rbac_roles.OWNER, "Contributor": rbac_roles.CONTRIBUTOR, "Reader": rbac_roles.READER, "AzureML Data Scientist": rbac_roles.DATA_SCIENTIST,
    "AzureML Compute Operator": rbac_roles.COMPUTE_OPERATOR,
}
CURATED = "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"


@dataclass
class Site:
    """own and other lie in the group `group`, far in `far_group`. Somebody of each of ROLES has it at `own`; "none" has no role; "job" is
    what a running job of an Owner of everything carries."""

    plane: Plane
    group: str = ""
    far_group: str = ""
    own: str = ""
    other: str = ""
    far: str = ""
    registry: str = ""
    job: str = ""
    people: dict[str, Principal] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def authority(self) -> Any:
        return self.plane.authority

    @property
    def master_key(self) -> bytes:
        return self.plane.chain.services.master_key

    def principal(self, name: str, role: str = "", scope: str = "") -> Principal:
        secret = new_secret()

        def make(tx: Tx) -> Principal:
            made = access.create_principal(tx, name, "ServicePrincipal", hash_secret(self.master_key, secret), self.plane.clock())
            if role:
                access.assign(tx, scope, made.id, role, self.plane.clock())
            self.authority.changed(tx)
            return made

        made = self.people[name] = self.plane.db.write_now(make)
        self.secrets[name] = secret
        return made

    def token(self, name: str, audience: str = MANAGEMENT) -> str:
        """A fresh access token of that person; "job" is the job's own."""
        if name == "job":
            whose = self.people["boss"]
            caller = Caller(id=whose.id, name=whose.name, kind="ManagedIdentity", tenant=self.authority.tenant, app_id=whose.app_id or "",
                            bound_to=self.own.lower(), run=self.job.rsplit("/", 1)[-1])
            return self.authority.token_for(caller, audience)
        return self.authority.token_for(self.authority.caller_of(self.people[name]), audience)

    def workspace(self, group: str, name: str) -> str:
        return self.plane.put(f"{group}/providers/{ML}/workspaces/{name}", {"properties": {}})["id"]

    def account(self, workspace: str) -> str:
        found = self.plane.get(workspace)["properties"]
        return found["storageAccount"].rsplit("/", 1)[-1] if "storageAccount" in found else "lz" + found["workspaceId"].replace("-", "")[:20]

    def key_of(self, workspace: str) -> str:
        return account_key(self.master_key, self.account(workspace))

    def blob(self, method: str, workspace: str, path: str, body: Any = None, *, token: str, headers: dict[str, str] | None = None, kind: str = "blob") -> Answer:
        """A request to the workspace's storage account with a bearer token for storage."""
        return self.plane.send(method, f"/{self.account(workspace)}.{kind}.core.windows.net/{path}", body, token=token, headers={"x-ms-version": "2023-11-03", **(headers or {})})

    def put_blob(self, workspace: str, path: str, body: bytes) -> None:
        """As the first principal, who owns everything."""
        token = self.token("boss", STORAGE)
        self.blob("PUT", workspace, f"{path.split('/')[0]}?restype=container", token=token)
        made = self.blob("PUT", workspace, path, body, token=token, headers={"x-ms-blob-type": "BlockBlob"})
        assert made.status == 201, made.body


def make_site(url: str, folder: Path) -> Site:
    plane = make_plane(url, folder, real=True)
    site = Site(plane)
    subscription = plane.get("/subscriptions")["value"][0]["id"]
    site.group, site.far_group = f"{subscription}/resourceGroups/near", f"{subscription}/resourceGroups/afar"
    for group in (site.group, site.far_group):
        plane.put(group, {"location": "local"})
    site.own, site.other = site.workspace(site.group, "own"), site.workspace(site.group, "other")
    site.far = site.workspace(site.far_group, "far")
    site.registry = plane.put(f"{site.group}/providers/{ML}/registries/shelf", {"properties": {}})["id"]
    site.principal("boss", rbac_roles.OWNER, "/")
    for name, role in ROLES.items():
        site.principal(name, role, site.own)
    site.principal("none")
    site.job = f"{site.own}/jobs/runner"
    plane.put(site.job, {"properties": {"jobType": "Command", "command": "echo hello", "environmentId": CURATED}}, token=site.token("boss"))
    plane.job_is(site.job, "Running")
    return site


def guid() -> str:
    return str(uuid.uuid4())
