"""S5: ids of another workspace in bodies, paths, queries and headers; registries one may not read; names that are made again.

Each test is a way from one workspace to another that was open once, or could be by the same mistake.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from lazward.contract.errors import ArmError
from lazward.contract.ids import ML
from lazward.domain.rbac_roles import DATA_SCIENTIST, READER
from lazward.identity.sas import sign_blob_sas
from lazward.orchestration.data import locate
from lazward.storage import access, resources
from tests.control_plane import versioned
from tests.security.site import CURATED, Site, guid

SCIENTIST = "AzureML Data Scientist"  # may write nearly everything in `own`, and nothing elsewhere


def short(workspace: str) -> str:
    return workspace.rsplit("/", 1)[-1]


# ---- paths -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("person", [SCIENTIST, "Contributor", "Owner", "job"])
def test_s5_an_id_below_another_resource_reaches_neither(site: Site, person: str):
    """Rights at the outer resource were once asked, and the inner one acted on: an upload link into any workspace of the group."""
    token = site.token(person)
    nested = f"{site.own}/providers/{ML}/workspaces"
    calls: list[tuple[str, str, Any]] = [
        ("PUT", f"{nested}/made", {"properties": {}}), ("PUT", f"{nested}/other", {"properties": {}}), ("GET", f"{nested}/other", None),
        ("PUT", f"{nested}/other/jobs/j", {"properties": {}}), ("POST", f"{nested}/other/listKeys", {}), ("POST", f"{nested}/other/datastores/workspaceblobstore/listSecrets", {}),
        *(("POST", f"{nested}/other/{family}/{guid()}/versions/1/startPendingUpload", {}) for family in ("codes", "data", "models")),
        ("GET", f"{nested}/other/jobs", None), ("DELETE", f"{nested}/other", None),
    ]
    for method, path, body in calls:
        answer = site.plane.send(method, versioned(path), body, token=token)
        assert answer.status in (400, 403, 404), (method, path, answer.status)
    assert site.plane.send("GET", versioned(f"{site.group}/providers/{ML}/workspaces/made")).status == 404
    assert site.plane.send("GET", versioned(site.other)).status == 200


def test_s5_a_workspace_lies_in_a_group(site: Site):
    subscription = site.group.rsplit("/resourceGroups", 1)[0]
    answer = site.plane.send("PUT", versioned(f"{subscription}/providers/{ML}/workspaces/loose"), {"properties": {}})
    assert (answer.status, answer.error["code"]) == (400, "InvalidResourceId")


def test_s5_headers_and_queries_do_not_say_which_workspace(site: Site):
    token, other = site.token(SCIENTIST), site.other
    spoofs = {
        "X-Original-URL": other, "X-Rewrite-URL": other, "X-AML-Workspace": other, "x-ms-workspace-id": other, "X-Mlflow-Workspace": "other",
        "X-HTTP-Method-Override": "GET", "X-Forwarded-User": site.people["boss"].id, "x-ms-client-principal-id": site.people["boss"].id,
    }
    for query in ("", f"&workspace={other}", "&workspaceName=other&workspace_name=other", f"&id={other}&scope={other}"):
        assert site.plane.send("GET", versioned(other) + query, token=token, headers=spoofs).status == 403
        shown = site.plane.send("GET", versioned(site.own) + query, token=token, headers=spoofs)
        assert (shown.status, shown.json["id"]) == (200, site.own)
        assert {j["id"] for j in site.plane.get(f"{site.own}/jobs?{query}", token=token)["value"]} <= {j["id"] for j in site.plane.get(f"{site.own}/jobs")["value"]}
    made = site.plane.send("POST", f"/mlflow/plain{site.own}/api/2.0/mlflow/experiments/create?workspace=other", {"name": guid(), "workspace": "other"}, token=token, headers=spoofs).json
    found = site.plane.send("GET", f"/mlflow/plain{other}/api/2.0/mlflow/experiments/get?experiment_id={made['experiment_id']}")
    assert found.status == 404 or "s5" not in found.body.decode()


# ---- bodies ----------------------------------------------------------------------------------------------------------------


def uris_of(site: Site, other: str, path: str) -> list[str]:
    """Every way to say "that blob of the other workspace"."""
    account, host = site.account(other), "localhost:8443"
    names = short(other)
    group = other.split("/")[4]
    subscription = other.split("/")[2]
    guid_of = site.plane.get(other)["properties"]["workspaceId"]
    signed = sign_blob_sas(site.key_of(site.own), account, *path.split("/", 1), permissions="r", expires=2e9)  # signed with a key of one's own
    return [
        f"https://{account}.blob.core.windows.net/{path}", f"https://{account}.dfs.core.windows.net/{path}", f"https://{host}/{account}.blob.core.windows.net/{path}",
        f"https://{host}/{account}.blob.core.windows.net/{path}?{signed}", f"https://127.0.0.1:8443/{account.upper()}.blob.core.windows.net/{path}",
        f"wasbs://{path.split('/')[0]}@{account}.blob.core.windows.net/{path.split('/', 1)[1]}", f"abfss://{path.split('/')[0]}@{account}.dfs.core.windows.net/{path.split('/', 1)[1]}",
        f"azureml://subscriptions/{subscription}/resourcegroups/{group}/workspaces/{names}/datastores/workspaceartifactstore/paths/x",
        f"azureml://subscriptions/{subscription}/resourcegroups/{group}/providers/{ML}/workspaces/{names}/data/d/versions/1",
        f"azureml:{other}/data/d/versions/1", f"azureml://locations/local/workspaces/{guid_of}/data/d/versions/1", f"azureml://locations/local/workspaces/{names}/jobs/j/outputs/default",
    ]


def test_s5_no_uri_leads_a_job_or_asset_to_another_workspaces_data(site: Site):
    """What the server would read by its own right: the place a URI leads to is never in another workspace's account."""
    site.put_blob(site.other, "data/d/x", b"theirs")
    home = site.plane.db.read_now(resources.get, site.own)
    assert home is not None
    for other in (site.other, site.far):
        for uri in uris_of(site, other, "data/d/x"):
            for family in ("data", "models", "codes"):
                try:
                    place = site.plane.db.read_now(locate, home, uri, "uri", family)
                except ArmError as error:
                    assert error.status in (400, 403, 404)
                    continue
                assert place.account == "" and place.url, (uri, place)  # the web: read without any right of ours


@pytest.mark.parametrize("member", ["code", "environment", "input", "output", "compute"])
def test_s5_a_job_names_nothing_of_another_workspace(site: Site, member: str):
    token, other = site.token(SCIENTIST), site.other
    for kind, name, properties in (
        ("codes", guid(), {"codeUri": f"https://{site.account(other)}.blob.core.windows.net/data/d"}), ("environments", "theirs", {"image": "python:3.11"}),
        ("data", "d", {"dataUri": "azureml://datastores/workspaceblobstore/paths/x", "dataType": "uri_file"}),
    ):
        site.plane.put(f"{other}/{kind}/{name}/versions/1", {"properties": properties})
        if kind == "codes":
            code = f"{other}/codes/{name}/versions/1"
    job: dict[str, Any] = {"jobType": "Command", "command": "echo", "environmentId": CURATED}
    bad: dict[str, Any] = {
        "code": {"codeId": code}, "environment": {"environmentId": f"{other}/environments/theirs/versions/1"},
        "input": {"inputs": {"x": {"jobInputType": "uri_file", "uri": f"azureml:{other}/data/d/versions/1"}}},
        "output": {"outputs": {"x": {"jobOutputType": "uri_folder", "uri": f"azureml://subscriptions/{other.split('/')[2]}/resourcegroups/near/workspaces/other/datastores/workspaceblobstore/paths/x"}}},
        "compute": {"computeId": f"{other}/computes/theirs"},
    }[member]
    name = guid()
    answer = site.plane.send("PUT", versioned(f"{site.own}/jobs/{name}"), {"properties": {**job, **bad}}, token=token)
    if member == "environment" and answer.status < 300:
        pytest.fail("an environment of another workspace was taken")
    assert answer.status in (400, 403, 404), (answer.status, answer.body)
    assert site.plane.send("GET", versioned(f"{site.own}/jobs/{name}")).status == 404


def test_s5_a_deployment_names_nothing_of_another_workspace(site: Site):
    token, endpoint = site.token(SCIENTIST), f"{site.own}/onlineEndpoints/e{guid()[:8]}"
    site.plane.put(f"{site.other}/models/m/versions/1", {"properties": {"modelUri": "azureml://datastores/workspaceblobstore/paths/m", "modelType": "custom_model"}})
    site.plane.put(endpoint, {"location": "local", "properties": {"authMode": "Key"}}, token=token)
    site.plane.settle()
    base = {"endpointComputeType": "Managed", "environmentId": CURATED, "codeConfiguration": {"scoringScript": "score.py"}}
    for bad in (
        {"model": f"{site.other}/models/m/versions/1"}, {"model": f"azureml:{site.other}/models/m/versions/1"},
        {"environmentId": f"{site.other}/environments/theirs/versions/1"}, {"codeConfiguration": {"scoringScript": "s.py", "codeId": f"{site.other}/codes/{guid()}/versions/1"}},
    ):
        answer = site.plane.send("PUT", versioned(f"{endpoint}/deployments/blue"), {"location": "local", "sku": {"name": "Default", "capacity": 1}, "properties": {**base, **bad}}, token=token)
        assert answer.status in (400, 403, 404), (bad, answer.status)


def test_s5_mlflow_registers_nothing_of_another_workspace(site: Site):
    """create_version, its source, its run and its logged model; where an experiment keeps its artifacts."""
    token, base, theirs = site.token(SCIENTIST), f"/mlflow/plain{site.own}/api/2.0/mlflow", f"/mlflow/plain{site.other}/api/2.0/mlflow"
    run = site.plane.send("POST", f"{theirs}/runs/create", {"experiment_id": "0"}).json["run"]["info"]["run_id"]
    model = site.plane.send("POST", f"{theirs}/logged-models", {"experiment_id": "0", "name": "m"}).json["model"]["info"]["model_id"]
    site.plane.send("POST", f"{base}/registered-models/create", {"name": "mine"}, token=token)
    site.put_blob(site.other, "azureml/ExperimentRun/dcid.x/model/MLmodel", b"theirs")
    host = "localhost:8443"
    for source in (
        f"runs:/{run}/model", f"mlflow-artifacts:/{run}/artifacts/model", f"models:/{model}", "models:/theirs/1",
        f"azureml://{host}/mlflow/v1.0{site.other}/experiments/Default/runs/{run}/artifacts/model", *uris_of(site, site.other, "azureml/ExperimentRun/dcid.x/model"),
    ):
        answer = site.plane.send("POST", f"{base}/model-versions/create", {"name": "mine", "source": source}, token=token)
        if answer.status == 200:  # stored as an address: what reads it must not get there by a right of the server
            version = answer.json["model_version"]["version"]
            for path in (f"mlflow-artifacts/artifacts?path=mine:{version}/artifacts", f"mlflow-artifacts/artifacts/mine:{version}/artifacts/MLmodel"):
                found = site.plane.send("GET", f"/mlflow/plain{site.own}/api/2.0/{path}", token=token)
                assert found.status in (400, 403, 404) and b"theirs" not in found.body, (source, found.status, found.body)
    for more in ({"run_id": run}, {"model_id": model}):
        answer = site.plane.send("POST", f"{base}/model-versions/create", {"name": "mine", "source": "azureml://datastores/workspaceblobstore/paths/m", **more}, token=token)
        assert answer.status in (400, 404), (more, answer.body)
    for uri in uris_of(site, site.other, "azureml/x"):
        answer = site.plane.send("POST", f"{base}/experiments/create", {"name": guid(), "artifact_location": uri}, token=token)
        if answer.status == 200:
            run_id = site.plane.send("POST", f"{base}/runs/create", {"experiment_id": answer.json["experiment_id"]}, token=token).json["run"]["info"]["run_id"]
            for path in (f"artifacts?path={run_id}/artifacts", f"artifacts/{run_id}/artifacts/x"):
                assert site.plane.send("GET", f"/mlflow/plain{site.own}/api/2.0/mlflow-artifacts/{path}", token=token).status in (400, 404)
    for path in (f"runs/get?run_id={run}", f"artifacts/list?run_id={run}", f"logged-models/{model}", f"metrics/get-history?run_id={run}&metric_key=a"):
        assert site.plane.send("GET", f"{base}/{path}", token=token).status == 404
    body = {"experiment_ids": ["0"], "filter": f"attributes.run_id = '{run}'"}
    assert site.plane.send("POST", f"{base}/runs/search", body, token=token).json.get("runs", []) == []


def test_s5_run_history_shows_nothing_of_another_workspace(site: Site):
    run = site.plane.send("POST", f"/mlflow/plain{site.other}/api/2.0/mlflow/runs/create", {"experiment_id": "0"}).json["run"]["info"]["run_id"]
    token, base = site.token(SCIENTIST), f"/history/v1.0{site.own}"
    for path in (f"runs/{run}", f"runs/{run}/details", f"runs/{run}/metrics", f"runs/{run}/children", f"experiments/Default/runs/{run}/artifacts"):
        assert site.plane.send("GET", f"{base}/{path}", token=token).status == 404, path
    assert site.plane.send("POST", f"{base}/rundata", {"runId": run}, token=token).status == 404
    upload = f"/artifact/v2.0{site.own}/artifacts/ExperimentRun/dcid.{run}"
    assert site.plane.send("POST", f"{upload}/batch/metadata", {"paths": [{"path": "x"}]}, token=token).status == 404
    theirs = [f"azureml:{site.other}/data/d/versions/1", f"azureml://locations/local/workspaces/{site.plane.get(site.other)['properties']['workspaceId']}/data/azureml_j_output_data_o/versions/1"]
    answer = site.plane.send("POST", f"/data/v1.0{site.own}/dataversion/batchGetResolvedUris", {"values": theirs}, token=token)
    assert (answer.status, answer.json) == (200, {"values": {}})


# ---- registries ----------------------------------------------------------------------------------------------------------------


def test_s5_what_lies_in_a_registry_takes_a_right_there(site: Site):
    """Writers of a workspace once read every registry by naming it."""
    plane, token = site.plane, site.token(SCIENTIST)
    uri = f"https://{site.account(site.registry)}.blob.core.windows.net/data/d"
    plane.put(f"{site.registry}/data/d/versions/1", {"properties": {"dataUri": uri, "dataType": "uri_file"}})
    plane.put(f"{site.registry}/environments/e/versions/1", {"properties": {"image": "python:3.11"}})
    plane.put(f"{site.registry}/models/m/versions/1", {"properties": {"modelUri": uri, "modelType": "custom_model"}})
    named = "azureml://registries/shelf/data/d/versions/1"
    job: dict[str, Any] = {"jobType": "Command", "command": "echo", "environmentId": CURATED}
    for change in (
        {"inputs": {"x": {"jobInputType": "uri_file", "uri": named}}}, {"inputs": {"x": {"jobInputType": "uri_file", "uri": named.replace("shelf", "SHELF").replace("azureml:", "AzureML:")}}},
        {"environmentId": "azureml://registries/shelf/environments/e/versions/1"}, {"codeId": "azureml://registries/shelf/codes/c/versions/1"},
    ):
        answer = plane.send("PUT", versioned(f"{site.own}/jobs/{guid()}"), {"properties": {**job, **change}}, token=token)
        assert answer.status == 403, (change, answer.body)
    for path, properties in (
        (f"data/d{guid()[:8]}/versions/1", {"dataUri": named, "dataType": "uri_file"}), (f"models/m{guid()[:8]}/versions/1", {"modelUri": "azureml://registries/shelf/models/m/versions/1", "modelType": "custom_model"}),
        (f"environments/e{guid()[:8]}/versions/1", {"build": {"contextUri": named}}),
    ):
        assert plane.send("PUT", versioned(f"{site.own}/{path}"), {"properties": properties}, token=token).status == 403, path
    base = f"/mlflow/plain{site.own}/api/2.0/mlflow"
    plane.send("POST", f"{base}/registered-models/create", {"name": "fromshelf"}, token=token)
    assert plane.send("POST", f"{base}/model-versions/create", {"name": "fromshelf", "source": "azureml://registries/shelf/models/m/versions/1"}, token=token).status == 403
    for where, value in (("data/v1.0", "azureml://registries/shelf/jobs/j/outputs/default"), ("data/v1.0", named), ("modelregistry/v1.0", "azureml://registries/shelf/models/m/versions/1")):
        tail = "dataversion" if where.startswith("data") else "models"
        answer = plane.send("POST", f"/{where}{site.own}/{tail}/batchGetResolvedUris", {"values": [value]}, token=token)
        assert answer.status == 403 and site.group.encode() not in answer.body.replace(site.registry.encode(), b"")
    assert plane.send("GET", "/registrymanagement/v1.0/registries/shelf/discovery", token=token).status == 403
    assert plane.send("GET", versioned(site.registry), token=token).status == 403
    for family in ("data", "models", "environments"):
        assert plane.send("GET", versioned(f"{site.registry}/{family}"), token=token).status == 403


# ---- names that are made again -------------------------------------------------------------------------------------------------


def test_s5_a_name_that_is_made_again_has_none_of_the_old_secrets(site: Site):
    plane = site.plane
    store, connection, endpoint = f"{site.own}/datastores/again", f"{site.own}/connections/again", f"{site.own}/onlineEndpoints/again{guid()[:8]}"
    old_store = {"datastoreType": "AzureBlob", "accountName": "elsewhere", "containerName": "c", "credentials": {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": "b3BlbnNlc2FtZQ=="}}}
    old_connection = {"category": "CustomKeys", "authType": "CustomKeys", "target": "t", "credentials": {"keys": {"k": "opensesame"}}}
    for path, body in ((store, old_store), (connection, old_connection)):
        plane.put(path, {"properties": body})
        plane.ok("DELETE", path)
    plane.put(endpoint, {"location": "local", "properties": {"authMode": "Key"}})
    plane.settle()
    keys = plane.ok("POST", f"{endpoint}/listKeys", {}).json
    plane.ok("DELETE", endpoint)
    plane.settle()
    plane.put(store, {"properties": {**old_store, "credentials": {"credentialsType": "AccountKey"}}})
    plane.put(connection, {"properties": {k: v for k, v in old_connection.items() if k != "credentials"}})
    plane.put(endpoint, {"location": "local", "properties": {"authMode": "Key"}})
    assert "b3BlbnNlc2FtZQ==" not in plane.send("POST", versioned(f"{store}/listSecrets"), {}).body.decode()
    assert "opensesame" not in plane.send("POST", versioned(f"{connection}/listsecrets"), {}).body.decode()
    assert not set(plane.ok("POST", f"{endpoint}/listKeys", {}).json.values()) & set(keys.values())


def test_s5_a_workspace_that_is_made_again_is_another_one(site: Site):
    """Neither its secrets and bytes nor the rights that were given at the first come back."""
    plane, home = site.plane, f"{site.group}/providers/{ML}/workspaces/phoenix"
    plane.put(home, {"properties": {}})
    site.principal("guest", DATA_SCIENTIST, home)
    site.principal("reader of a job", READER, f"{home}/jobs/j")
    body = {"properties": {"datastoreType": "AzureBlob", "accountName": "elsewhere", "containerName": "c", "credentials": {"credentialsType": "Sas", "secrets": {"secretsType": "Sas", "sasToken": "opensesame"}}}}
    plane.put(f"{home}/datastores/kept", body)
    site.put_blob(home, "data/x", b"of the first")
    run = plane.send("POST", f"/mlflow/plain{home}/api/2.0/mlflow/runs/create", {"experiment_id": "0"}).json["run"]["info"]["run_id"]
    first, key = site.account(home), site.key_of(home)
    sas = sign_blob_sas(key, first, "data", "x", permissions="r", expires=2e9)
    names = plane.db.read_now(plane.vault.names, "datastore:")
    assert f"datastore:{home}/datastores/kept".lower() in names
    plane.ok("DELETE", home)
    plane.settle()
    assert not [name for name in plane.db.read_now(plane.vault.names, "datastore:") if "phoenix" in name]
    assert not [given for given in plane.db.read_now(access.assignments) if "phoenix" in given.scope]
    plane.put(home, {"properties": {}})
    site.authority.refresh_now()  # as it does by itself within a second
    assert plane.send("GET", versioned(f"{home}/jobs"), token=site.token("guest")).status == 403
    assert plane.send("GET", versioned(f"{home}/jobs/j"), token=site.token("reader of a job")).status == 403
    assert (site.account(home), site.key_of(home)) != (first, key) and site.account(home) != first
    plane.chain.services.scopes.clear()  # remembered for ten seconds
    assert plane.send("GET", f"/{first}.blob.core.windows.net/data/x?{sas}", token="").status == 403
    assert plane.send("GET", f"/mlflow/plain{home}/api/2.0/mlflow/runs/get?run_id={run}").status == 404
    plane.put(f"{home}/datastores/kept", {"properties": {**body["properties"], "credentials": {"credentialsType": "Sas"}}})
    assert "opensesame" not in json.dumps(plane.send("POST", versioned(f"{home}/datastores/kept/listSecrets"), {}).json)


def test_s5_page_tokens_lead_nowhere_else(site: Site):
    """What a list gives to go on with says where in the list, not in which."""
    token = site.token(SCIENTIST)
    for name in range(3):
        site.plane.put(f"{site.other}/models/secret{name}", {"properties": {}})
    following = site.plane.get(f"{site.other}/models?$top=1")["nextLink"]
    skip = following.partition("$skip=")[2] or following.partition("%24skip=")[2]
    shown = site.plane.send("GET", versioned(f"{site.own}/models?$skip={skip}"), token=token)
    assert shown.status in (200, 400) and b"secret" not in shown.body


def test_s5_what_mlflow_keeps_for_evaluation_is_its_workspaces_own(site: Site):
    """Ids of another workspace's datasets, webhooks, questions, queues and issues are as good as none, also for who may do everything here."""
    boss, mine = site.token("boss"), site.token("Owner")

    def make(path: str, body: dict) -> dict:
        answer = site.plane.send("POST", f"/mlflow/plain{site.other}/api/3.0/mlflow/{path}", body, token=boss)
        assert answer.status == 200, answer.body
        return answer.json

    form = {"text": {}}
    dataset = make("datasets/create", {"name": "theirs"})["dataset"]["dataset_id"]
    issue = make("issues", {"experiment_id": "0", "name": "n", "description": "secret"})["issue"]["issue_id"]
    schema = make("label-schemas/create", {"experiment_id": "0", "name": "q", "type": "FEEDBACK", "input": form})["label_schema"]["schema_id"]
    queue = make("review-queues/create", {"experiment_id": "0", "name": "q", "queue_type": "CUSTOM"})["review_queue"]["queue_id"]
    hook = make("webhooks", {"name": "w", "url": "https://8.8.8.8/", "events": [{"entity": "PROMPT", "action": "CREATED"}]})["webhook"]["webhook_id"]
    scorer = make("scorers/register", {"experiment_id": "0", "name": "s", "serialized_scorer": "{}"})["scorer_id"]
    make("registered-models/create", {"name": "theirs", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]})
    before = site.plane.state()
    for method, path, body in (
        ("GET", f"datasets/{dataset}", None), ("PATCH", f"datasets/{dataset}/tags", {"tags": '{"a": "b"}'}), ("POST", f"datasets/{dataset}/records", {"records": '[{"inputs": {}}]'}),
        ("GET", f"datasets/{dataset}/records", None), ("DELETE", f"datasets/{dataset}/records", {"dataset_record_ids": ["x"]}), ("POST", f"datasets/{dataset}/add-experiments", {"experiment_ids": []}),
        ("GET", f"issues/{issue}", None), ("PATCH", f"issues/{issue}", {"name": "x"}), ("GET", f"label-schemas/get?schema_id={schema}", None),
        ("PATCH", "label-schemas/update", {"schema_id": schema, "name": "x"}), ("GET", f"review-queues/get?queue_id={queue}", None), ("POST", "review-queues/update", {"queue_id": queue, "name": "x"}),
        ("POST", "review-queues/items/add", {"queue_id": queue, "item_ids": ["tr-1"]}), ("GET", f"review-queues/items/list?queue_id={queue}", None), ("GET", f"webhooks/{hook}", None),
        ("PATCH", f"webhooks/{hook}", {"url": "https://8.8.4.4/"}), ("DELETE", f"webhooks/{hook}", None), ("POST", f"webhooks/{hook}/test", {}), ("GET", "registered-models/get?name=theirs", None),
        ("POST", "registered-models/rename", {"name": "theirs", "new_name": "mine"}),
    ):
        answer = site.plane.send(method, f"/mlflow/plain{site.own}/api/3.0/mlflow/{path}", body, token=mine)
        assert (answer.status, answer.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST"), (method, path, answer.body)
        assert site.plane.send(method, f"/mlflow/plain{site.other}/api/3.0/mlflow/{path}", body, token=mine).status == 403
    for method, path, body in (("DELETE", f"datasets/{dataset}", None), ("DELETE", "label-schemas/delete", {"schema_id": schema}), ("POST", "review-queues/delete", {"queue_id": queue})):
        assert site.plane.send(method, f"/mlflow/plain{site.own}/api/3.0/mlflow/{path}", body, token=mine).status == 200  # MLflow deletes what is not there, too
    assert site.plane.send("GET", f"/mlflow/plain{site.own}/api/3.0/mlflow/scorers/online-configs?scorer_ids={scorer}", token=mine).json == {"configs": []}
    shown = [site.plane.send(*call, token=mine).body for call in (
        ("POST", f"/mlflow/plain{site.own}/api/3.0/mlflow/datasets/search", {}), ("POST", f"/mlflow/plain{site.own}/api/3.0/mlflow/issues/search", {}),
        ("GET", f"/mlflow/plain{site.own}/api/3.0/mlflow/webhooks"), ("GET", f"/mlflow/plain{site.own}/api/3.0/mlflow/scorers/list"),
    )]
    assert not any(b"theirs" in body or b"secret" in body or hook.encode() in body or b'"s"' in body for body in shown)
    assert site.plane.state() == before
