"""Deleting what is in use is refused, saying who uses it, and nothing changes."""

from __future__ import annotations

import pytest

from tests.control_plane import Plane, versioned
from tests.make import CURATED

STORE = "azureml://datastores/workspaceblobstore/paths"


@pytest.fixture
def home(plane: Plane) -> str:
    home = plane.workspace()
    plane.put(f"{home}/environments/env/versions/1", {"properties": {"image": "python:3.11"}})
    plane.put(f"{home}/codes/code/versions/1", {"properties": {"codeUri": "https://example.org/code/"}})
    plane.put(f"{home}/data/data/versions/1", {"properties": {"dataUri": f"{STORE}/data/", "dataType": "uri_folder"}})
    plane.put(f"{home}/models/model/versions/1", {"properties": {"modelUri": f"{STORE}/model/"}})
    plane.put(f"{home}/computes/cluster", {"properties": {"computeType": "AmlCompute"}})
    return home


def job(plane: Plane, home: str, name: str = "busy", **more) -> str:
    path = f"{home}/jobs/{name}"
    plane.put(path, {"properties": {"jobType": "Command", "command": "x", "environmentId": CURATED, **more}})
    return path


def endpoint(plane: Plane, home: str, name: str = "blue", **more) -> str:
    path = f"{home}/onlineEndpoints/serve"
    plane.put(path, {"properties": {"authMode": "Key"}})
    plane.settle()
    plane.put(f"{path}/deployments/{name}", {"properties": {"model": f"{home}/models/model/versions/1", **more}})
    plane.settle()
    return f"{path}/deployments/{name}"


def refused(plane: Plane, path: str, *users: str) -> None:
    before = plane.state()
    answer = plane.send("DELETE", versioned(path))
    assert (answer.status, answer.error["code"]) == (409, "ResourceInUse"), answer.body
    assert answer.error["target"] == path.rsplit("/", 1)[1]
    for user in users:
        assert user in answer.error["message"]
    assert plane.state() == before


def goes(plane: Plane, path: str) -> None:
    assert plane.ok("DELETE", path).status in (200, 202)


class TestJobs:
    @pytest.mark.parametrize("spelled", ["{home}/environments/env/versions/1", "azureml:env:1", "azureml:env@latest", "azureml:{home}/environments/ENV/versions/1"])
    def test_environment(self, plane: Plane, home: str, spelled: str):
        busy = job(plane, home, environmentId=spelled.format(home=home))
        for path in (f"{home}/environments/env/versions/1", f"{home}/environments/env"):
            refused(plane, path, "the job 'busy' (Queued)")
        plane.job_is(busy, "Completed")
        goes(plane, f"{home}/environments/env/versions/1")

    def test_code_and_inputs(self, plane: Plane, home: str):
        busy = job(plane, home, codeId=f"azureml:{home}/codes/code/versions/1", inputs={
            "d": {"jobInputType": "uri_folder", "uri": "azureml:data:1"}, "m": {"jobInputType": "custom_model", "uri": f"{home}/models/model/versions/1"},
        })
        for family in ("code", "data", "model"):
            refused(plane, f"{home}/{family if family == 'data' else family + 's'}/{family}/versions/1", "the job 'busy'")
        plane.job_is(busy, "Failed")
        for family in ("code", "data", "model"):
            goes(plane, f"{home}/{family if family == 'data' else family + 's'}/{family}")

    def test_other_versions_are_free(self, plane: Plane, home: str):
        plane.put(f"{home}/environments/env/versions/2", {"properties": {"image": "python:3.12"}})
        job(plane, home, environmentId="azureml:env@latest")
        goes(plane, f"{home}/environments/env/versions/1")
        refused(plane, f"{home}/environments/env/versions/2", "busy")

    def test_compute(self, plane: Plane, home: str):
        busy = job(plane, home, computeId=f"{home}/computes/CLUSTER")
        refused(plane, f"{home}/computes/cluster", "the job 'busy'")
        plane.job_is(busy, "Canceled")
        goes(plane, f"{home}/computes/cluster")

    def test_many_users_are_counted(self, plane: Plane, home: str):
        for n in range(8):
            job(plane, home, f"j{n}", computeId="cluster")
        refused(plane, f"{home}/computes/cluster", "'j0'", "and 3 more")

    def test_jobs_of_another_workspace_do_not_count(self, plane: Plane, home: str):
        other = plane.workspace()
        plane.put(f"{other}/computes/cluster", {"properties": {"computeType": "AmlCompute"}})
        plane.put(f"{other}/environments/env/versions/1", {"properties": {"image": "python:3.11"}})
        job(plane, other, computeId="cluster", environmentId="azureml:env:1")
        goes(plane, f"{home}/computes/cluster")
        goes(plane, f"{home}/environments/env")


class TestDeployments:
    def test_model_environment_and_code(self, plane: Plane, home: str):
        deployment = endpoint(
            plane, home, environmentId=f"{home}/environments/env/versions/1", codeConfiguration={"codeId": f"{home}/codes/code/versions/1", "scoringScript": "s.py"},
        )
        for path in ("models/model/versions/1", "models/model", "environments/env/versions/1", "codes/code/versions/1"):
            refused(plane, f"{home}/{path}", "the deployment 'serve/blue'")
        goes(plane, deployment)
        goes(plane, f"{home}/models/model/versions/1")  # what uses it is going

    def test_what_a_deployment_names_must_be_there(self, plane: Plane, home: str):
        plane.put(f"{home}/onlineEndpoints/serve", {"properties": {"authMode": "Key"}})
        plane.settle()
        good = {"model": f"{home}/models/model/versions/1", "environmentId": "azureml:env:1", "codeConfiguration": {"codeId": "azureml:code:1", "scoringScript": "s.py"}}
        before = plane.state()
        for member, bad in (
            ("model", {"model": f"{home}/models/model/versions/7"}), ("environmentId", {"environmentId": "azureml:nowhere:1"}),
            ("codeConfiguration.codeId", {"codeConfiguration": {"codeId": "azureml:nowhere:1", "scoringScript": "s.py"}}), ("model", {"model": "file:///etc/passwd"}),
        ):
            answer = plane.send("PUT", versioned(f"{home}/onlineEndpoints/serve/deployments/blue"), {"properties": {**good, **bad}})
            assert (answer.status, answer.error["target"]) == (400, f"properties.{member}"), answer.body
        assert plane.state() == before
        plane.put(f"{home}/onlineEndpoints/serve/deployments/blue", {"properties": good})

    def test_traffic_goes_first(self, plane: Plane, home: str):
        deployment = endpoint(plane, home)
        where = deployment.split("/deployments/")[0]
        plane.put(where, {"properties": {"authMode": "Key", "traffic": {"blue": 100}}})
        plane.settle()
        answer = plane.send("DELETE", versioned(deployment))
        assert (answer.status, answer.error["target"]) == (409, "properties.traffic")
        plane.put(where, {"properties": {"authMode": "Key", "traffic": {"blue": 0}}})
        plane.settle()
        goes(plane, deployment)

    def test_registry_assets(self, plane: Plane, home: str):
        registry = plane.registry()
        name = registry.rsplit("/", 1)[1]
        plane.put(f"{registry}/environments/env/versions/1", {"properties": {"image": "python:3.11"}})
        busy = job(plane, home, environmentId=f"azureml://registries/{name}/environments/env/versions/1")
        refused(plane, f"{registry}/environments/env/versions/1", "a job or deployment of the workspace")
        plane.job_is(busy, "Completed")
        goes(plane, f"{registry}/environments/env")


class TestPlaces:
    def test_datastores_that_assets_lie_in(self, plane: Plane, home: str):
        plane.put(f"{home}/datastores/mine", {"properties": {"datastoreType": "AzureBlob", "accountName": "elsewhere", "containerName": "c"}})
        asset = plane.put(f"{home}/data/there/versions/3", {"properties": {"dataUri": "azureml://datastores/mine/paths/x/"}})["id"]
        refused(plane, f"{home}/datastores/mine", "data 'there:3'")
        goes(plane, asset)
        goes(plane, f"{home}/datastores/mine")

    def test_datastores_that_jobs_write(self, plane: Plane, home: str):
        plane.put(f"{home}/datastores/mine", {"properties": {"datastoreType": "AzureBlob", "accountName": "elsewhere", "containerName": "c"}})
        busy = job(plane, home, outputs={"out": {"jobOutputType": "uri_folder", "uri": "azureml://datastores/mine/paths/out/"}})
        refused(plane, f"{home}/datastores/mine", "the job 'busy'")
        plane.job_is(busy, "Completed")
        goes(plane, f"{home}/datastores/mine")

    @pytest.mark.parametrize("name", ["workspaceblobstore", "workspaceartifactstore"])
    def test_the_workspaces_own_stay(self, plane: Plane, home: str, name: str):
        answer = plane.send("DELETE", versioned(f"{home}/datastores/{name}"))
        assert (answer.status, answer.error["code"]) == (409, "DefaultDatastore")

    @pytest.mark.parametrize("spelled", [
        "azureml://jobs/trained/outputs/artifacts/paths/model/", "runs:/trained/model", "azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.trained/model",
        "azureml:/{home}/datastores/workspaceartifactstore/paths/ExperimentRun/dcid.trained/model".replace("azureml:/", "azureml:"),
    ])
    def test_a_job_whose_artifacts_are_a_models_bytes(self, plane: Plane, home: str, spelled: str):
        trained = job(plane, home, "trained")
        other = job(plane, home, "trained2")
        for path in (trained, other):
            plane.job_is(path, "Completed")
        model = plane.put(f"{home}/models/kept/versions/1", {"properties": {"modelUri": spelled.format(home=home)}})["id"]
        refused(plane, trained, "models 'kept:1'")
        goes(plane, other)
        goes(plane, model)
        goes(plane, trained)

    def test_the_built_in_registry_stays(self, plane: Plane):
        listed = plane.get(f"{plane.subscription}/providers/Microsoft.MachineLearningServices/registries")["value"]
        built_in = next(d["id"] for d in listed if d["name"] == "azureml")
        for path in (built_in, built_in.split("/providers/")[0]):
            answer = plane.send("DELETE", versioned(path))
            assert (answer.status, answer.error["code"]) == (409, "BuiltInRegistry")
