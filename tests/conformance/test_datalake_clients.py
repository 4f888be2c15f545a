"""The unmodified azure-storage-file-datalake against a running server, and both endpoints over the same bytes."""

import os

import pytest
from azure.core import MatchConditions
from azure.core.credentials import AzureSasCredential
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.blob import ContentSettings
from azure.storage.filedatalake import DataLakeServiceClient, generate_directory_sas, generate_file_system_sas

from tests.conformance.blob_clients import DATA, KEY, Token, client_of, refusal, soon
from tests.live import ACCOUNT


class TestDataLake:
    def test_files(self, fs):
        file = fs.create_file("a/b/c.bin", metadata={"k": "v"}, content_settings=ContentSettings("x/y"))
        file.append_data(b"hello ", 0)
        file.append_data(b"world", 6, validate_content=True)
        assert file.get_file_properties().size == 0
        file.flush_data(11)
        assert file.download_file().readall() == b"hello world"
        assert file.download_file(offset=6, length=5).readall() == b"world"
        found = file.get_file_properties()
        assert (found.size, found.metadata, found.content_settings.content_type) == (11, {"k": "v"}, "x/y")
        assert refusal(file.flush_data, 99)[0] == 400
        assert refusal(fs.get_file_client("none").append_data, b"x", 0) == (404, "PathNotFound")

    def test_uploads_of_all_sizes(self, fs):
        for size in (0, 1, 5 * 1024 * 1024):
            data = os.urandom(size)
            file = fs.get_file_client(f"u/{size}")
            file.upload_data(data, overwrite=True, chunk_size=1 << 20, max_concurrency=3) if size else file.create_file()
            assert file.download_file().readall() == data
        file.upload_data(b"new", overwrite=True)
        assert file.download_file().readall() == b"new"
        with pytest.raises(HttpResponseError):
            file.upload_data(b"newer")

    def test_both_endpoints_show_the_same(self, service, fs):
        fs.get_file_client("d/x").upload_data(b"1", overwrite=True)
        container = service.get_container_client(fs.file_system_name)
        assert container.download_blob("d/x").readall() == b"1"
        assert {blob.name: blob.metadata or {} for blob in container.list_blobs(include=["metadata"])} == {"d": {"hdi_isfolder": "true"}, "d/x": {}}
        container.upload_blob("e/f/y", b"22")
        assert fs.get_file_client("e/f/y").download_file().readall() == b"22"
        assert [(path.name, path.is_directory, path.content_length) for path in fs.get_paths()] == [
            ("d", True, 0), ("d/x", False, 1), ("e", True, 0), ("e/f", True, 0), ("e/f/y", False, 2),
        ]
        fs.get_directory_client("e").rename_directory(f"{fs.file_system_name}/g")
        assert container.download_blob("g/f/y").readall() == b"22"

    def test_paths(self, fs):
        for name in ("d/a", "d/e/b", "d/e/c", "x", "é/ü"):
            fs.create_file(name)
        fs.create_directory("empty")
        assert [path.name for path in fs.get_paths(recursive=False)] == ["d", "empty", "x", "é"]
        assert [path.name for path in fs.get_paths("d", recursive=False)] == ["d/a", "d/e"]
        assert [path.name for path in fs.get_paths("d", max_results=1)] == ["d/a", "d/e", "d/e/b", "d/e/c"]
        assert list(fs.get_paths("empty")) == []
        with pytest.raises(ResourceNotFoundError):
            list(fs.get_paths("missing"))

    def test_directories(self, fs):
        folder = fs.create_directory("d/e", metadata={"k": "v"})
        assert folder.exists()
        assert folder.get_directory_properties().metadata["k"] == "v"
        folder.create_file("f").upload_data(b"1", overwrite=True)
        folder.create_sub_directory("g")
        moved = fs.get_directory_client("d").rename_directory(f"{fs.file_system_name}/n w")
        assert [path.name for path in fs.get_paths()] == ["n w", "n w/e", "n w/e/f", "n w/e/g"]
        moved.get_file_client("e/f").rename_file(f"{fs.file_system_name}/top + é")
        assert fs.get_file_client("top + é").download_file().readall() == b"1"
        moved.delete_directory()
        assert [path.name for path in fs.get_paths()] == ["top + é"]
        fs.delete_file("top + é")
        assert refusal(fs.delete_file, "top + é") == (404, "PathNotFound")

    def test_access_control(self, fs):
        file = fs.create_file("d/f", permissions="0640")
        file.set_access_control(owner="me", acl="user::rwx,group::r--,other::---")
        found = file.get_access_control()
        assert (found["owner"], found["permissions"], found["acl"]) == ("me", "rwxr-----", "user::rwx,group::r--,other::---")
        counters = fs.get_directory_client("d").set_access_control_recursive("user::rwx,group::---,other::---").counters
        assert (counters.directories_successful, counters.files_successful, counters.failure_count) == (1, 1, 0)
        assert file.get_access_control()["permissions"] == "rwx------"
        assert file.get_access_control()["owner"] == "me"
        fs.get_directory_client("d").update_access_control_recursive("user:x:r--")
        assert file.get_access_control()["acl"] == "user::rwx,group::---,other::---,user:x:r--"

    def test_metadata_leases_and_conditions(self, fs):
        file = fs.create_file("f")
        file.set_metadata({"a": "1"})
        file.set_http_headers(ContentSettings("text/x"))
        assert (file.get_file_properties().metadata, file.get_file_properties().content_settings.content_type) == ({"a": "1"}, "text/x")
        lease = file.acquire_lease(15)
        assert refusal(file.append_data, b"x", 0)[0] == 412
        file.append_data(b"x", 0, lease=lease)
        file.flush_data(1, lease=lease)
        lease.release()
        with pytest.raises(ResourceExistsError):
            file.create_file(match_condition=MatchConditions.IfMissing)
        fs.set_file_system_metadata({"z": "1"})
        assert fs.get_file_system_properties().metadata == {"z": "1"}

    def test_signatures(self, live, fs):
        fs.get_file_client("d/e/f").upload_data(b"1", overwrite=True)
        fs.get_file_client("d2/f").upload_data(b"2", overwrite=True)

        def mine(token):
            return client_of(live, AzureSasCredential(token), DataLakeServiceClient, "dfs").get_file_system_client(fs.file_system_name)

        folder = mine(generate_directory_sas(ACCOUNT, fs.file_system_name, "d", KEY, permission="rl", expiry=soon()))
        assert folder.get_file_client("d/e/f").download_file().readall() == b"1"
        assert [path.name for path in folder.get_paths("d/e")] == ["d/e/f"]
        assert refusal(folder.get_file_client("d2/f").download_file)[0] == 403
        assert refusal(lambda: list(folder.get_paths("d2")))[0] == 403
        assert refusal(lambda: list(folder.get_paths()))[0] == 403
        assert refusal(folder.get_file_client("d/new").create_file)[0] == 403
        whole = mine(generate_file_system_sas(ACCOUNT, fs.file_system_name, KEY, permission="racwdl", expiry=soon()))
        whole.get_file_client("d/e/f").rename_file(f"{fs.file_system_name}/moved")
        assert refusal(mine(generate_file_system_sas(ACCOUNT, fs.file_system_name, KEY, permission="rcw", expiry=soon())).get_file_client("moved").rename_file, f"{fs.file_system_name}/x")[0] == 403

    def test_bearer_as_for_datastores_without_credentials(self, live, fs):
        live.authority.add("lake", f"{DATA}/blobs/*", f"{DATA}/*")
        mine = client_of(live, Token("lake"), DataLakeServiceClient, "dfs").get_file_system_client(fs.file_system_name)
        mine.get_directory_client("x").create_file("y").upload_data(b"1", overwrite=True)
        mine.get_file_client("x/y").rename_file(f"{fs.file_system_name}/z")
        assert mine.get_file_client("z").download_file().readall() == b"1"
