"""What run history sees of ARM's documents."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from lazward.apps.history.runs import Change
from lazward.apps.ports import StoredJobs
from lazward.contract.caller import Caller
from tests.control_plane import MASTER_KEY, Plane
from tests.make import CURATED


@pytest.fixture
def home(plane: Plane) -> str:
    return plane.workspace().lower()


@pytest.fixture
def jobs(plane: Plane) -> StoredJobs:
    authority = SimpleNamespace(for_job=lambda who, workspace, run: (f"token of {who} for {run}", "secret"))
    return StoredJobs(plane.db, plane.chain.services.settings, MASTER_KEY, authority)  # type: ignore[arg-type]


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
