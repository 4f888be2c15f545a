"""Keys, tokens and logs of online endpoints, as ARM's actions give them."""

from __future__ import annotations

import pytest

from lazward.orchestration.deployments import log_folder
from lazward.storage import resources
from tests.control_plane import Plane, versioned
from tests.make import CURATED


@pytest.fixture
def home(plane: Plane) -> str:
    return plane.workspace()


def endpoint(plane: Plane, home: str, mode: str = "Key", **more) -> str:
    path = f"{home}/onlineEndpoints/{plane.name('serve')}"
    plane.put(path, {"properties": {"authMode": mode, **more}})
    plane.settle()
    return path


def keys(plane: Plane, path: str) -> dict[str, str]:
    return plane.ok("POST", f"{path}/listKeys").json


def regenerate(plane: Plane, path: str, body) -> int:
    answer = plane.send("POST", versioned(f"{path}/regenerateKeys"), body)
    plane.settle()
    return answer.status


class TestKeys:
    def test_each_endpoint_has_two_of_its_own_and_no_document_shows_them(self, plane: Plane, home: str):
        one, two = endpoint(plane, home), endpoint(plane, home)
        held = {*keys(plane, one).values(), *keys(plane, two).values()}
        assert len(held) == 4
        shown = plane.send("GET", versioned(one)).body.decode()
        assert not [key for key in held if key in shown]
        assert not [row for row in plane.dump().values() if any(key in str(row) for key in held)]  # not in clear anywhere

    def test_one_is_replaced_at_a_time(self, plane: Plane, home: str):
        path = endpoint(plane, home)
        before = keys(plane, path)
        assert regenerate(plane, path, {"keyType": "Primary"}) == 202
        after = keys(plane, path)
        assert after["primaryKey"] != before["primaryKey"] and after["secondaryKey"] == before["secondaryKey"]
        given = "a-key-that-somebody-chose"
        assert regenerate(plane, path, {"keyType": "Secondary", "keyValue": given}) == 202
        assert keys(plane, path) == {"primaryKey": after["primaryKey"], "secondaryKey": given}

    def test_the_sdk_sends_the_present_value_along_and_means_another(self, plane: Plane, home: str):
        path = endpoint(plane, home)
        present = keys(plane, path)["primaryKey"]
        assert regenerate(plane, path, {"keyType": "Primary", "keyValue": present}) == 202
        assert keys(plane, path)["primaryKey"] != present

    @pytest.mark.parametrize("body", [{}, {"keyType": "Third"}, {"keyType": "Primary", "keyValue": "short"}, {"keyType": "Primary", "keyValue": "with a space in it, long"}, {"keyType": "Primary", "keyValue": 5}])
    def test_what_is_no_key_is_refused(self, plane: Plane, home: str, body):
        path = endpoint(plane, home)
        before = keys(plane, path)
        assert regenerate(plane, path, body) == 400
        assert keys(plane, path) == before

    def test_those_of_an_endpoint_that_was_deleted_are_not_its_successors(self, plane: Plane, home: str):
        path = endpoint(plane, home)
        before = keys(plane, path)
        plane.ok("DELETE", path)
        plane.settle()
        plane.put(path, {"properties": {"authMode": "Key"}})
        plane.settle()
        assert not {*keys(plane, path).values()} & {*before.values()}

    @pytest.mark.parametrize("mode", ["AMLToken", "AADToken"])
    def test_an_endpoint_with_tokens_has_none(self, plane: Plane, home: str, mode: str):
        path = endpoint(plane, home, mode)
        answer = plane.send("POST", versioned(f"{path}/listKeys"), {})
        assert (answer.status, answer.error["target"]) == (400, "properties.authMode")
        assert regenerate(plane, path, {"keyType": "Primary"}) == 400

    def test_one_with_keys_gives_no_token(self, plane: Plane, home: str):
        answer = plane.send("POST", versioned(f"{endpoint(plane, home)}/token"), {})
        assert (answer.status, answer.error["target"]) == (400, "properties.authMode")


class TestLogs:
    @pytest.fixture
    def blue(self, plane: Plane, home: str) -> str:
        path = f"{endpoint(plane, home)}/deployments/blue"
        plane.put(path, {"sku": {"name": "Default", "capacity": 1}, "properties": {"environmentId": CURATED, "codeConfiguration": {"scoringScript": "score.py"}}})
        plane.settle()
        row = plane.db.read_now(resources.get, path)
        assert row is not None
        folder = log_folder(plane.chain.services.settings.layout.root, row.key)
        folder.mkdir(parents=True)
        (folder / "inference-server-0.txt").write_text("".join(f"line {n}\n" for n in range(500)))
        (folder / "storage-initializer.txt").write_text("fetching\n")
        return path

    def logs(self, plane: Plane, path: str, **body) -> list[str]:
        return plane.ok("POST", f"{path}/getLogs", body).json["content"].splitlines()

    def test_the_last_lines_of_either(self, plane: Plane, blue: str):
        assert self.logs(plane, blue, tail=2) == ["line 498", "line 499"]
        assert len(self.logs(plane, blue)) == 200
        assert self.logs(plane, blue, containerType="StorageInitializer") == ["fetching"]

    @pytest.mark.parametrize("body", [{"containerType": "../../keys"}, {"tail": 0}, {"tail": "many"}, {"tail": 10**9}])
    def test_other_files_and_numbers_are_refused(self, plane: Plane, blue: str, body):
        assert plane.send("POST", versioned(f"{blue}/getLogs"), body).status == 400
