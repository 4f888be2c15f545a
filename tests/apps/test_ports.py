"""What MLflow's registry and run history see of ARM's documents, over one database."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from lazward.apps.history.runs import Change
from lazward.apps.mlflow.models_port import ModelVersion
from lazward.apps.ports import StoredJobs, StoredModels
from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError
from tests.control_plane import MASTER_KEY, Plane
from tests.make import CURATED

ME = Caller(id="me", name="me")
URI = "azureml://datastores/workspaceblobstore/paths/net/"


@pytest.fixture
def home(plane: Plane) -> str:
    return plane.workspace().lower()


@pytest.fixture
def models(plane: Plane) -> StoredModels:
    return StoredModels(plane.db, plane.chain.services.settings)


@pytest.fixture
def jobs(plane: Plane) -> StoredJobs:
    authority = SimpleNamespace(for_job=lambda who, workspace, run: (f"token of {who} for {run}", "secret"))
    return StoredJobs(plane.db, plane.chain.services.settings, MASTER_KEY, authority)  # type: ignore[arg-type]


def draft(name: str, **more) -> ModelVersion:
    facts = {"version": "", "uri": URI, "type": "mlflow_model", "description": "d", "tags": {"t": "1"}, "properties": {"p": "2"}, "stage": "None", "created": 0.0, "updated": 0.0, "job_name": ""}
    return ModelVersion(name=name, **{**facts, **more})


class TestModels:
    def test_what_mlflow_registers_arm_shows(self, plane: Plane, home: str, models: StoredModels):
        made = asyncio.run(models.create_version(home, draft("net"), ME))
        assert (made.name, made.version, made.uri) == ("net", "1", URI)
        shown = plane.get(f"{home}/models/net/versions/1")["properties"]
        assert (shown["modelUri"], shown["modelType"], shown["tags"], shown["properties"]) == (URI, "mlflow_model", {"t": "1"}, {"p": "2"})
        assert asyncio.run(models.create_version(home, draft("NET"), ME)).version == "2"  # one model, however it is spelled
        assert [v.version for v in asyncio.run(models.versions(home, "net"))] == ["1", "2"]

    def test_what_arm_registers_mlflow_sees_until_it_is_archived(self, plane: Plane, home: str, models: StoredModels):
        plane.put(f"{home}/models/arm/versions/7", {"properties": {"modelUri": URI, "tags": {"n": "1"}}})
        found = asyncio.run(models.version(home, "arm", "7"))
        assert found is not None and (found.uri, found.type, found.tags) == (URI, "custom_model", {"n": "1"})
        assert asyncio.run(models.place(home, "arm", "7"))[2].rstrip("/") == "net"
        plane.put(f"{home}/models/arm/versions/7", {"properties": {"modelUri": URI, "isArchived": True}})
        assert asyncio.run(models.version(home, "arm", "7")) is None and asyncio.run(models.place(home, "arm", "7")) is None

    def test_a_name_is_taken_once(self, home: str, models: StoredModels):
        assert asyncio.run(models.create_model(home, "once", "first", {}, ME)) is not None
        assert asyncio.run(models.create_model(home, "Once", "second", {}, ME)) is None
        found = asyncio.run(models.model(home, "once"))
        assert found is not None and found.description == "first"

    def test_a_change_is_of_what_may_change(self, home: str, models: StoredModels):
        asyncio.run(models.create_version(home, draft("net"), ME))

        def change(version: ModelVersion) -> None:
            version.stage, version.description, version.tags = "Production", "better", {"new": "1"}

        asyncio.run(models.update_version(home, "net", "1", change, ME))
        found = asyncio.run(models.version(home, "net", "1"))
        assert found is not None and (found.stage, found.description, found.tags, found.uri) == ("Production", "better", {"new": "1"}, URI)
        assert asyncio.run(models.update_version(home, "net", "9", change, ME)) is None

    def test_what_is_in_use_stays(self, plane: Plane, home: str, models: StoredModels):
        asyncio.run(models.create_version(home, draft("net"), ME))
        job = f"{home}/jobs/busy"
        plane.put(job, {"properties": {"jobType": "Command", "command": "x", "environmentId": CURATED, "inputs": {"m": {"jobInputType": "mlflow_model", "uri": "azureml:net:1"}}}})
        with pytest.raises(ArmError) as caught:
            asyncio.run(models.delete_version(home, "net", "1"))
        assert (caught.value.status, caught.value.code) == (409, "ResourceInUse")
        plane.job_is(job, "Completed")
        assert asyncio.run(models.delete_version(home, "net", "1")) is True
        assert asyncio.run(models.delete_version(home, "net", "1")) is False

    def test_files_that_are_on_the_web_have_no_place_here(self, home: str, models: StoredModels):
        asyncio.run(models.create_version(home, draft("far", uri="https://example.com/model/"), ME))
        with pytest.raises(ArmError) as caught:
            asyncio.run(models.place(home, "far", "1"))
        assert (caught.value.code, caught.value.target) == ("ModelOnTheWeb", "modelUri")


class TestJobs:
    @pytest.fixture
    def job(self, plane: Plane, home: str) -> str:
        plane.put(f"{home}/jobs/j", {"properties": {
            "jobType": "Command", "command": "x", "environmentId": CURATED, "tags": {"old": "1"},
            "outputs": {"plain": {"jobOutputType": "uri_folder"}, "named": {"jobOutputType": "mlflow_model", "assetName": "net", "assetVersion": "3"}},
        }})
        return "j"

    def test_outputs_say_which_asset_they_are(self, home: str, job: str, jobs: StoredJobs):
        facts = asyncio.run(jobs.get(home, job))
        assert facts is not None
        assert facts["outputs"]["named"]["assetId"].endswith("/models/net/versions/3")
        assert facts["outputs"]["plain"]["assetId"].endswith("/data/azureml_j_output_data_plain/versions/1")
        assert asyncio.run(jobs.get(home, "nobody")) is None

    def test_a_patch_changes_what_it_names_and_is_stamped(self, plane: Plane, home: str, job: str, jobs: StoredJobs):
        asyncio.run(jobs.patch(home, job, Change(hidden=True, display_name="new", tags={"more": "2"}), Caller(id="other", name="other")))
        doc = plane.get(f"{home}/jobs/j")
        assert doc["systemData"]["lastModifiedBy"] == "other"
        facts = doc["properties"]
        assert (facts["isArchived"], facts["displayName"], facts["tags"]) == (True, "new", {"old": "1", "more": "2"})
        listed = plane.get(f"{home}/jobs")["value"]
        assert "j" not in [one["name"] for one in listed]

    def test_a_token_is_for_a_job_that_is_not_over(self, plane: Plane, home: str, job: str, jobs: StoredJobs):
        found = asyncio.run(jobs.token(home, job))
        assert found is not None and found[0] == "token of owner for j"
        plane.job_is(f"{home}/jobs/{job}", "Completed")
        assert asyncio.run(jobs.token(home, job)) is None and asyncio.run(jobs.token(home, "nobody")) is None
