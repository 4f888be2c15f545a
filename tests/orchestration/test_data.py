"""From URIs to places, over a database that holds two workspaces and a registry."""

from __future__ import annotations

import pytest

from lazward.contract.errors import ArmError
from lazward.orchestration.data import account_of, locate
from lazward.storage import resources
from tests.control_plane import Plane

STORE = "azureml://datastores/workspaceblobstore/paths"


@pytest.fixture
def home(plane: Plane) -> str:
    home = plane.workspace()
    plane.put(f"{home}/data/numbers/versions/1", {"properties": {"dataUri": f"{STORE}/one/", "dataType": "uri_folder"}})
    plane.put(f"{home}/data/numbers/versions/2", {"properties": {"dataUri": f"{STORE}/two/", "dataType": "uri_folder"}})
    plane.put(f"{home}/models/net/versions/1", {"properties": {"modelUri": f"{STORE}/net/"}})
    return home


def row_of(plane: Plane, id_: str) -> resources.Row:
    row = plane.db.read_now(resources.get, id_)
    assert row is not None
    return row


def find(plane: Plane, home: str, uri: str, family: str = "data"):
    return plane.db.read_now(locate, row_of(plane, home), uri, "the.uri", family)


def refused(plane: Plane, home: str, uri: str, family: str = "data") -> tuple[int, str]:
    with pytest.raises(ArmError) as caught:
        find(plane, home, uri, family)
    assert caught.value.target == "the.uri"
    return caught.value.status, caught.value.code


class TestPlaces:
    def test_a_path_in_a_datastore(self, plane: Plane, home: str):
        row = row_of(plane, home)
        place = find(plane, home, f"{STORE}/a/b c.csv")
        container = row_of(plane, f"{home}/datastores/workspaceblobstore").properties["containerName"]
        assert (place.account, place.container, place.path, place.url) == (account_of(row), container, "a/b c.csv", "")
        assert place.readable.startswith("azureml://subscriptions/") and place.readable.endswith("/datastores/workspaceblobstore/paths/a/b c.csv")

    @pytest.mark.parametrize(("uri", "path"), [
        ("azureml:numbers:1", "one"), ("azureml:numbers@latest", "two"), ("{home}/data/numbers/versions/1", "one"),
    ])
    def test_an_asset_by_version_and_label(self, plane: Plane, home: str, uri: str, path: str):
        assert find(plane, home, uri.format(home=home)).path.rstrip("/") == path

    def test_the_family_decides_what_a_short_name_means(self, plane: Plane, home: str):
        assert find(plane, home, "azureml:net:1", "models").path.rstrip("/") == "net"
        assert refused(plane, home, "azureml:net:1", "data") == (404, "ResourceNotFound")

    def test_the_latest_is_none_that_is_archived(self, plane: Plane, home: str):
        plane.put(f"{home}/data/numbers/versions/2", {"properties": {"dataUri": f"{STORE}/two/", "dataType": "uri_folder", "isArchived": True}})
        assert find(plane, home, "azureml:numbers@latest").path.rstrip("/") == "one"

    def test_outputs_of_jobs(self, plane: Plane, home: str):
        plane.put(f"{home}/jobs/j", {"properties": {
            "jobType": "Command", "command": "x", "environmentId": "azureml:AzureML-sklearn-1.5@latest", "outputs": {"o": {"jobOutputType": "uri_folder", "uri": f"{STORE}/out/"}},
        }})
        assert find(plane, home, "azureml://jobs/j/outputs/o/paths/f.txt").path == "out/f.txt"
        artifacts = find(plane, home, "azureml://jobs/j/outputs/artifacts/paths/model/")
        assert (artifacts.container, artifacts.path.rstrip("/")) == ("azureml", "ExperimentRun/dcid.j/model")
        assert refused(plane, home, "azureml://jobs/j/outputs/other/paths/f") == (404, "OutputNotFound")
        assert refused(plane, home, "azureml://jobs/nobody/outputs/o/paths/f") == (404, "JobNotFound")

    def test_the_web_stays_the_web(self, plane: Plane, home: str):
        place = find(plane, home, "https://example.com/data.csv")
        assert (place.account, place.url) == ("", "https://example.com/data.csv")


class TestRefusals:
    @pytest.mark.parametrize(("uri", "status", "code"), [
        ("azureml://datastores/nowhere/paths/a", 404, "DatastoreNotFound"),
        ("azureml:nothing:1", 404, "ResourceNotFound"),
        ("azureml:numbers:9", 404, "ResourceNotFound"),
        ("azureml:numbers@newest", 400, "InvalidLabel"),
        ("azureml://registries/nowhere/data/d/versions/1", 404, "RegistryNotFound"),
    ])
    def test_what_leads_nowhere_is_told(self, plane: Plane, home: str, uri: str, status: int, code: str):
        assert refused(plane, home, uri) == (status, code)

    def test_an_asset_without_bytes(self, plane: Plane, home: str):
        plane.put(f"{home}/environments/e/versions/1", {"properties": {"image": "python:3.11"}})
        assert refused(plane, home, f"{home}/environments/e/versions/1") == (400, "InvalidUri")

    def test_s5_the_data_of_another_workspace(self, plane: Plane, home: str):
        other = plane.workspace()
        plane.put(f"{other}/data/theirs/versions/1", {"properties": {"dataUri": f"{STORE}/secret/", "dataType": "uri_folder"}})
        assert refused(plane, home, f"{other}/data/theirs/versions/1") == (403, "CrossWorkspaceAccess")
        account = account_of(row_of(plane, other))
        plane.put(f"{home}/datastores/sneaky", {"properties": {
            "datastoreType": "AzureBlob", "accountName": account, "containerName": "azureml", "credentials": {"credentialsType": "None"},
        }})
        assert refused(plane, home, "azureml://datastores/sneaky/paths/x") == (403, "CrossWorkspaceAccess")
        # By its URL it is as any address on the web: it shows what it shows to strangers.
        assert find(plane, home, f"https://{account}.blob.core.windows.net/azureml/x").account == ""

    def test_what_lies_in_a_circle(self, plane: Plane, home: str):
        for name, other in (("a", "b"), ("b", "a")):
            plane.put(f"{home}/data/{name}/versions/1", {"properties": {"dataUri": f"azureml:{other}:1", "dataType": "uri_folder"}})
        assert refused(plane, home, "azureml:a:1") == (400, "InvalidUri")
