"""S5: every role x every declared route, verb and action x one's own workspace, another one, one in another group.

What each role may do is written down here by hand (`may`), not asked of the code under test. A call is only ever refused with 403, and
what is let in goes no further than its first look at the body or the database, so the matrix changes nothing.
More of S5: test_s05_crossing.py (ids in bodies, deleted names), tests/apps/test_identity_security.py (Microsoft.Authorization),
tests/orchestration/test_authority.py (what a job carries), tests/apps/blob/test_auth.py (signatures).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lazward.apps.arm.hooks import ACTIONS
from lazward.apps.mlflow.calls import BY_PATH, PROXIED, RPC
from lazward.contract.ids import ML
from lazward.domain.resource import REGISTRY
from tests.control_plane import versioned
from tests.security.site import ROLES, STORAGE, Site

PEOPLE = [*ROLES, "none", "job"]
READING_ACTIONS = {"diagnose", "lazwarddiff"}  # POST, but a read


@dataclass(frozen=True)
class Probe:
    """One request below a workspace: what it is about (a type of things, lower case) and what it does (read, write, delete, or the name of an
    action). body: refused as malformed by whatever is let in."""

    method: str
    path: str
    kind: str
    right: str
    body: object = None
    surface: str = "arm"


def may(person: str, probe: Probe) -> bool:
    """In one's own workspace. By Azure's description of the roles."""
    kind, right = probe.kind, probe.right
    if person in ("Owner", "Contributor", "job"):
        return True
    if person == "Reader":
        return right == "read"
    if person == "AzureML Data Scientist":
        if kind == "workspaces":
            return right not in ("write", "delete", "listkeys")
        if kind == "workspaces/computes":
            return right not in ("write", "delete", "listkeys")
        return True
    if person == "AzureML Compute Operator":
        return kind == "workspaces/computes"
    return False


def arm_probes() -> Iterator[Probe]:
    for key, declared in REGISTRY.items():
        kind = key.removeprefix(ML.lower() + "/")
        if not kind.startswith("workspaces"):
            continue
        path = "".join(f"/{piece}/nothing" for piece in declared.path.split("/")[1:])
        collection = path.rsplit("/", 1)[0]
        if path:
            yield Probe("GET", collection, kind, "read")
        yield Probe("GET", path, kind, "read")
        yield Probe("HEAD", path, kind, "read")
        if not declared.managed:
            yield Probe("PUT", path, kind, "write", b"[]")
        if declared.patchable:
            yield Probe("PATCH", path, kind, "write", b"[]")
        if path:
            yield Probe("DELETE", path, kind, "delete")
        for of, verb in ACTIONS:
            if of == key:
                right = "read" if verb in READING_ACTIONS else "write" if verb == "startpendingupload" else verb
                yield Probe("POST", f"{path}/{verb}", kind, right, b"[1")


def mlflow_probes() -> Iterator[Probe]:
    for prefix in ("/mlflow/plain", "/mlflow/v1.0"):
        for method, rest in RPC:
            if rest == "runs/log-batch":
                continue  # what it takes depends on the body: below
            reads = method == "GET" or rest.endswith(("/search", "/search-datasets", "/get-latest-versions", "/presigned-download-url"))
            right = "read" if reads else "write"
            yield Probe(method, f"{prefix}WS/api/2.0/mlflow/{rest}", "tracking", right, None if method == "GET" else b"{}", "mlflow")
        yield Probe("POST", f"{prefix}WS/api/2.0/mlflow/runs/log-batch", "tracking", "write", {"run_id": "r", "metrics": [{"key": "a"}]}, "mlflow")
        for method, pattern, _ in BY_PATH:
            rest = re.sub(r"\(\?P<\w+>.*?\+\)", "m-00000000000000000000000000000000", pattern.pattern)
            right = {"GET": "read", "DELETE": "delete"}.get(method, "write")
            right = "read" if rest.endswith(("/search", "/batchGetInfos", "/metrics", "/calculate-filter-correlation")) else right
            yield Probe(method, f"{prefix}WS/api/2.0/mlflow/{rest}", "tracking", right, None if method == "GET" else b"{}", "mlflow")
        yield Probe("POST", f"{prefix}WS/v1/traces", "tracking", "write", b"{}", "mlflow")
        for method, pattern, _ in PROXIED:
            rest = re.sub(r"\(\?P<\w+>.*?\+\)", "r0/artifacts/x", pattern.pattern)
            right = "read" if method == "GET" else "delete" if method == "DELETE" else "write"
            yield Probe(method, f"{prefix}WS/api/2.0/mlflow-artifacts/{rest}", "tracking", right, None if method == "GET" else b"{}", "mlflow")


def history_probes(site: Site) -> Iterator[Probe]:
    """From the routes themselves: those whose pattern is below a workspace and that no generator above has."""
    for route in site.plane.chain.routes:
        if not route.pattern.startswith(("/history/", "/artifact/", "/data/", "/modelregistry/")) or route.pattern.endswith("/token"):
            continue
        path = re.sub(r"/subscriptions/\{sub\}.*?/workspaces/\{ws\}", "WS", route.pattern)
        path = re.sub(r"\{kind:[^}]*\}", "experiments", path).replace("{origin}", "LocalUpload").replace("{container}", "c").replace("{exp}", "Default")
        path = re.sub(r"\{\w+\}", "nothing", path)
        for method in route.methods:
            right = "read" if method == "GET" or path.endswith(("batchGetResolvedUris", "/rundata")) else "write"
            if "/serviceinstances/" in path:
                right = "write"  # shows the token of a notebook server
            yield Probe(method, path, "tracking", right, None if method == "GET" else b"[]", "history")


def requested(probe: Probe, workspace: str) -> str:
    return probe.path.replace("WS", workspace) if "WS" in probe.path else versioned(workspace + probe.path)


@pytest.mark.parametrize("person", PEOPLE)
def test_s5_every_route_and_verb_by_role_and_workspace(site: Site, person: str):
    probes = [*arm_probes(), *mlflow_probes(), *history_probes(site)]
    assert len(probes) > 200
    token, wrong = site.token(person), []
    for probe in probes:
        for place, expected in ((site.own, may(person, probe)), (site.other, False), (site.far, False)):
            answer = site.plane.send(probe.method, requested(probe, place), probe.body, token=token)
            if (answer.status != 403) != expected or answer.status in (401, 500):
                wrong.append((probe.method, probe.path, place.rsplit("/", 1)[-1], answer.status, expected))
    assert not wrong, wrong[:20]


def test_s5_no_route_is_forgotten(site: Site):
    """Every route that is not public is in the matrix, or named here with the test that has it."""
    covered = ("/history/", "/artifact/", "/data/", "/modelregistry/", "/mlflow/plain/", "/mlflow/v", "/subscriptions/{rest:path}", "/mferp/")
    elsewhere = {
        "/metrics", "/tenants", "/subscriptions", "/subscriptions/{sub}", "/subscriptions/{sub}/locations", "/subscriptions/{sub}/resourceGroups",  # below
        "/registrymanagement/v1.0/registries/{name}/discovery",  # test_s05_crossing.py
    }
    groups = "/subscriptions/{sub}/resourceGroups/{group}"  # below
    left = [
        route.pattern for route in site.plane.chain.routes
        if route.access.kind != "public" and not route.pattern.startswith((*covered, groups, "/mlflow/workspaces/", "/subscriptions/{sub}/providers", "/{account"))
        and "Microsoft.Authorization" not in route.pattern and route.pattern not in elsewhere
    ]
    assert left == []


@pytest.mark.parametrize("person", PEOPLE)
def test_s5_nobody_with_a_role_on_a_workspace_has_one_on_its_group_or_subscription(site: Site, person: str):
    token, subscription = site.token(person), site.group.rsplit("/resourceGroups", 1)[0]
    account = site.account(site.other)
    deployment = {"properties": {"mode": "Incremental", "template": {}, "parameters": {"workspaceName": {"value": "made"}}}}
    for group in (site.group, site.far_group):
        calls = [
            ("GET", group, None), ("PUT", group, {"location": "local"}), ("PATCH", group, {}), ("DELETE", group, None), ("GET", f"{group}/resources", None),
            ("PUT", f"{group}/providers/Microsoft.Resources/deployments/d", deployment), ("GET", f"{group}/providers/Microsoft.Resources/deployments/d", None),
            ("GET", f"{group}/deployments/d", None), ("GET", f"{group}/deployments/d/operations", None),
            ("PUT", f"{group}/providers/{ML}/workspaces/made", {"properties": {}}), ("PUT", f"{group}/providers/{ML}/registries/made", {"properties": {}}),
            ("GET", f"{group}/providers/Microsoft.Storage/storageAccounts/{account}", None), ("DELETE", f"{group}/providers/Microsoft.Storage/storageAccounts/{account}", None),
            ("POST", f"{group}/providers/Microsoft.Storage/storageAccounts/{account}/listKeys", {}),
            ("GET", f"{group}/providers/Microsoft.Authorization/roleAssignments", None),
        ]
        for method, path, body in calls:
            assert site.plane.send(method, versioned(path), body, token=token).status == 403, (person, method, path)
    shown = site.plane.get(f"{subscription}/providers/{ML}/workspaces", token=token)["value"]
    assert {w["id"] for w in shown} == ({site.own} if person not in ("none", "AzureML Compute Operator") else set())
    assert {g["id"] for g in site.plane.get(f"{subscription}/resourceGroups", token=token)["value"]} == set()
    seen = {s["id"] for s in site.plane.get("/subscriptions", token=token)["value"]}
    assert seen == (set() if person == "none" else {subscription})


BLOB_CALLS = [
    ("GET", "data/x", "data"), ("HEAD", "data/x", "data"), ("GET", "data?restype=container&comp=list", "data"), ("GET", "?comp=list", "containers"),
    ("PUT", "data/none/x", "data"), ("PUT", "data/x?comp=metadata", "data"), ("DELETE", "data/none", "data"), ("PUT", "fresh?restype=container", "data"),
    ("DELETE", "nocontainer?restype=container", "data"),
]


@pytest.mark.parametrize("person", PEOPLE)
def test_s5_stored_data_by_role_and_workspace(site: Site, person: str):
    """Data of one's own workspace is for who may fetch the account's key (Reader and Compute Operator may not), and of no other workspace."""
    for place in (site.own, site.other, site.far):
        site.put_blob(place, "data/x", b"secret of " + place.encode())
    token = site.token(person, STORAGE)
    mine = person in ("Owner", "Contributor", "AzureML Data Scientist", "job")
    for place in (site.own, site.other, site.far):
        for method, path, what in BLOB_CALLS:
            headers = {"x-ms-blob-type": "BlockBlob"} if path == "data/none/x" else {}
            answer = site.blob(method, place, path, b"" if method == "PUT" else None, token=token, headers=headers)
            let_in = answer.status != 403
            # A Reader reads everything of the control plane, and the names of containers are that.
            expected = place == site.own and (mine or (person == "Reader" and what == "containers"))
            assert let_in == expected and answer.status != 401, (person, method, path, place, answer.status, answer.body[:200])
            assert let_in or b"secret of" not in answer.body
        answer = site.blob("GET", place, "data?resource=filesystem&recursive=true", token=token, kind="dfs")
        assert (answer.status == 200) == (mine and place == site.own)
    assert site.blob("GET", site.own, "data/x", token=site.token(person)).status == 401  # a token for another service of the server


def test_s5_a_jobs_token_gives_no_rights_and_ends_with_the_job(site: Site):
    plane, token = site.plane, site.token("job")
    scope = f"{site.own}/providers/Microsoft.Authorization"
    reader = {"properties": {"roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{ROLES['Reader']}", "principalId": site.people["none"].id}}
    assert plane.send("PUT", versioned(f"{scope}/roleAssignments/{site.people['none'].id}"), reader, token=token).status == 403
    job = f"{site.own}/jobs/brief"
    plane.put(job, {"properties": {"jobType": "Command", "command": "echo", "environmentId": "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"}})
    mine, identity = site.authority.for_job(site.people["boss"].id, site.own.lower(), "brief")
    plane.job_is(job, "Running")
    exchanged = plane.send("GET", "/msi/token?api-version=2019-08-01&resource=https://management.azure.com", token="", headers={"x-identity-header": identity}).json["access_token"]
    for each in (mine, exchanged):
        assert plane.send("GET", versioned(job), token=each).status == 200
        assert plane.send("GET", versioned(site.other), token=each).status == 403
        assert plane.send("GET", f"/history/v1.0{site.own}/experiments/Default/runs/runner/token", token=each).status == 403  # another run's
    plane.job_is(job, "Completed")
    site.authority._runs.clear()  # it asks again after a second; this is that moment
    for each in (mine, exchanged):
        assert plane.send("GET", versioned(job), token=each).status == 401
    assert plane.send("GET", "/msi/token?api-version=2019-08-01&resource=a", token="", headers={"x-identity-header": identity}).status == 401
