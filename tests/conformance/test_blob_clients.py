"""The unmodified azure-storage-blob and azure-storage-file-datalake against a running server, in path style as `lazward env` sets it up."""

import asyncio
import io
import os
import socket
import time
import uuid
from datetime import UTC, datetime

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
)
from azure.storage.blob import (
    BlobBlock,
    BlobClient,
    BlobLeaseClient,
    BlobServiceClient,
    ContentSettings,
    StandardBlobTier,
    StaticWebsite,
    generate_blob_sas,
)
from azure.storage.filedatalake import DataLakeServiceClient

from lazward.apps.blob.routes import blob_routes
from lazward.identity import sas
from tests.conformance.blob_clients import KEY, client_of, refusal, soon
from tests.live import ACCOUNT, TEAM, serve


class TestBlobs:
    def test_upload_download_and_properties(self, container):
        blob = container.get_blob_client("dir/ü 1+2%3?#&=;.txt")
        blob.upload_blob("grüße".encode(), metadata={"upload_status": "completed", "name": "n", "a1": "x", "a_b": "y"},
                         content_settings=ContentSettings("text/plain", "identity", "de", cache_control="no-store", content_disposition="inline"))
        found = blob.get_blob_properties()
        assert blob.download_blob().readall().decode() == "grüße"
        assert found.metadata == {"upload_status": "completed", "name": "n", "a1": "x", "a_b": "y"}
        assert (found.size, found.blob_type, found.content_settings.content_type, found.content_settings.content_language) == (7, "BlockBlob", "text/plain", "de")
        assert found.content_settings.content_md5
        assert found.lease.state == "available"
        assert abs((found.last_modified - datetime.now(UTC)).total_seconds()) < 30

    def test_no_overwrite_unless_asked(self, container):
        blob = container.upload_blob("a", b"1")
        with pytest.raises(ResourceExistsError):
            blob.upload_blob(b"2")
        blob.upload_blob(b"3", overwrite=True)
        assert blob.download_blob().readall() == b"3"

    def test_blocks_in_parallel(self, live, container):
        data = os.urandom(9 * 1024 * 1024 + 5)
        service = client_of(live, max_single_put_size=1 << 20, max_block_size=1 << 20, max_single_get_size=1 << 20, max_chunk_get_size=1 << 20)
        blob = service.get_blob_client(container.container_name, "big")
        blob.upload_blob(io.BytesIO(data), max_concurrency=4, validate_content=True)
        assert blob.download_blob(max_concurrency=4, validate_content=True).readall() == data
        committed, staged = blob.get_block_list("all")
        assert (len(committed), sum(block.size for block in committed), staged) == (10, len(data), [])
        with pytest.raises(ResourceExistsError):
            blob.upload_blob(data, max_concurrency=4)

    def test_a_stream_of_unknown_length(self, container):
        blob = container.get_blob_client("s")
        blob.upload_blob(bytes([n]) * 1000 for n in range(50))
        assert blob.get_blob_properties().size == 50_000

    def test_ranges(self, container):
        blob = container.upload_blob("r", bytes(range(256)))
        assert blob.download_blob(10, 5).readall() == bytes(range(10, 15))
        assert blob.download_blob(250, 100).readall() == bytes(range(250, 256))
        assert refusal(blob.download_blob, 256, 1) == (416, "InvalidRange")
        assert container.upload_blob("empty", b"").download_blob().readall() == b""

    def test_block_by_block(self, container):
        blob = container.get_blob_client("blocks")
        for id in ("1", "2", "3"):
            blob.stage_block(id, id.encode() * 3, validate_content=True)
        assert not blob.exists()
        blob.commit_block_list([BlobBlock("3"), BlobBlock("1")], metadata={"m": "1"}, content_settings=ContentSettings("a/b"))
        assert blob.download_blob().readall() == b"333111"
        assert refusal(blob.commit_block_list, [BlobBlock("2")]) == (400, "InvalidBlockList")
        assert refusal(blob.stage_block, "x" * 65, b"1") == (400, "InvalidBlockId")

    def test_a_wrong_digest_is_refused(self, container):
        blob = container.get_blob_client("md5")
        with pytest.raises(HttpResponseError) as caught:
            blob.upload_blob(b"data", raw_request_hook=lambda request: request.http_request.headers.update({"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}))
        assert caught.value.status_code in (400, 403)  # the key signs the header too
        assert not blob.exists()

    def test_conditions(self, container):
        blob = container.upload_blob("c", b"1")
        etag = blob.get_blob_properties().etag
        blob.upload_blob(b"2", overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified)
        with pytest.raises(ResourceModifiedError):
            blob.upload_blob(b"3", overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified)
        assert refusal(blob.get_blob_properties, etag=blob.get_blob_properties().etag, match_condition=MatchConditions.IfModified)[0] == 304
        assert refusal(blob.delete_blob, if_unmodified_since=datetime(2020, 1, 1, tzinfo=UTC))[0] == 412

    def test_metadata_headers_tier_and_tags(self, container):
        blob = container.upload_blob("m", b"1", tags={"a": "1", "b c": "2/3"})
        first = blob.get_blob_properties()
        blob.set_blob_metadata({"x": "1"})
        blob.set_http_headers(ContentSettings(content_type="image/png"))
        blob.set_standard_blob_tier(StandardBlobTier.COOL)
        found = blob.get_blob_properties()
        assert (found.metadata, found.content_settings.content_type, found.blob_tier, found.tag_count) == ({"x": "1"}, "image/png", "Cool", 2)
        assert found.etag != first.etag
        assert blob.get_blob_tags() == {"a": "1", "b c": "2/3"}
        blob.set_blob_tags({"z": ""})
        assert blob.get_blob_tags() == {"z": ""}

    def test_append(self, container):
        blob = container.get_blob_client("log")
        blob.create_append_blob()
        for n in range(20):
            assert blob.append_block(f"{n}\n".encode())["blob_append_offset"] == str(sum(len(f"{m}\n") for m in range(n)))
        assert blob.download_blob().readall().decode().split() == [str(n) for n in range(20)]
        assert refusal(blob.append_block, b"x", appendpos_condition=1) == (412, "AppendPositionConditionNotMet")
        assert refusal(blob.append_block, b"x" * 100, maxsize_condition=10) == (412, "MaxBlobSizeConditionNotMet")
        assert blob.get_blob_properties().append_blob_committed_block_count == 20
        assert refusal(container.get_blob_client("none").append_block, b"x") == (404, "BlobNotFound")
        container.get_blob_client("log2").upload_blob(b"abc" * 100, blob_type="AppendBlob")
        assert container.get_blob_client("log2").get_blob_properties().blob_type == "AppendBlob"

    def test_delete_one_and_many(self, container):
        names = [f"d{n} é+" for n in range(20)]
        for name in names:
            container.upload_blob(name, b"x")
        container.delete_blob(names[0])
        assert refusal(container.delete_blob, names[0]) == (404, "BlobNotFound")
        container.delete_blobs(*names[1:10], delete_snapshots="include")
        assert sorted(blob.name for blob in container.list_blobs()) == sorted(names[10:])
        results = list(container.delete_blobs(names[10], "missing", raise_on_any_failure=False))
        assert [part.status_code for part in results] == [202, 404]
        list(container.set_standard_blob_tier_blobs("Cool", names[11]))
        assert container.get_blob_client(names[11]).get_blob_properties().blob_tier == "Cool"

    def test_copies(self, service, container):
        source = container.upload_blob("src", b"data", metadata={"m": "1"}, content_settings=ContentSettings("a/b"))
        copied = container.get_blob_client("dst")
        assert copied.start_copy_from_url(source.url)["copy_status"] == "success"
        found = copied.get_blob_properties()
        assert (copied.download_blob().readall(), found.metadata, found.content_settings.content_type, found.copy.status) == (b"data", {"m": "1"}, "a/b", "success")
        source.delete_blob()
        assert copied.download_blob().readall() == b"data"
        copied.start_copy_from_url(copied.url, metadata={"n": "2"}, requires_sync=True)
        assert copied.get_blob_properties().metadata == {"n": "2"}
        third = container.get_blob_client("third")
        third.upload_blob_from_url(copied.url)
        third.stage_block_from_url("1", copied.url, source_offset=1, source_length=2)
        third.commit_block_list([BlobBlock("1"), BlobBlock("1")])
        assert third.download_blob().readall() == b"atat"
        assert refusal(third.start_copy_from_url, container.get_blob_client("none").url)[0] == 404
        for foreign in ("https://example.com/x", "https://lzforeign.blob.core.windows.net/c/b", "http://169.254.169.254/latest", "file:///etc/passwd"):
            assert refusal(third.start_copy_from_url, foreign) == (403, "CannotVerifyCopySource")
        assert refusal(third.abort_copy, str(uuid.uuid4())) == (409, "NoPendingCopyOperation")

    def test_leases(self, container):
        blob = container.upload_blob("l", b"1")
        lease = blob.acquire_lease(15)
        assert refusal(blob.upload_blob, b"2", overwrite=True) == (412, "LeaseIdMissing")
        blob.upload_blob(b"3", overwrite=True, lease=lease)
        assert refusal(BlobLeaseClient(blob).acquire) == (409, "LeaseAlreadyPresent")
        lease.renew()
        lease.change(str(uuid.uuid4()))
        assert blob.get_blob_properties().lease.state == "leased"
        assert lease.break_lease(0) == 0
        blob.upload_blob(b"4", overwrite=True)
        held = container.acquire_lease()
        assert refusal(container.delete_container) == (412, "LeaseIdMissing")
        held.release()
        container.delete_container()

    def test_what_is_not_built_says_so_at_once(self, container):
        blob = container.upload_blob("n", b"1")
        for doing in (blob.create_snapshot, blob.undelete_blob, lambda: blob.create_page_blob(512), lambda: list(container.find_blobs_by_tags("a='1'"))):
            assert refusal(doing) == (501, "NotImplemented")
        assert refusal(blob.upload_blob, b"1", overwrite=True, encryption_scope="s") == (501, "NotImplemented")


class TestContainers:
    def test_life(self, service):
        name = f"c{uuid.uuid4().hex}"
        made = service.create_container(name, metadata={"k": "v"})
        with pytest.raises(ResourceExistsError):
            service.create_container(name)
        assert made.get_container_properties().metadata == {"k": "v"}
        made.set_container_metadata({"k": "w"})
        assert next(found for found in service.list_containers(name, include_metadata=True)).metadata == {"k": "w"}
        assert made.get_container_access_policy() == {"public_access": None, "signed_identifiers": []}
        assert made.get_account_information()["account_kind"] == "StorageV2"
        made.delete_container()
        assert not made.exists()
        assert refusal(made.upload_blob, "a", b"1") == (404, "ContainerNotFound")
        assert refusal(service.create_container, "Bad_Name") == (400, "InvalidResourceName")
        assert refusal(service.create_container, f"c{uuid.uuid4().hex}", public_access="blob")[0] == 409

    def test_listing_in_pages_and_folders(self, container):
        names = sorted([f"a/{n:02}" for n in range(12)] + ["a.txt", "b/c/d", "ä", "<&>"])
        for name in names:
            container.upload_blob(name, b"x", metadata={"n": "1"})
        listed = list(container.list_blobs(include=["metadata", "tags"], results_per_page=5))
        assert [blob.name for blob in listed] == names
        assert listed[0].metadata == {"n": "1"}
        assert [item.name for item in container.walk_blobs(results_per_page=2)] == ["<&>", "a.txt", "a/", "b/", "ä"]
        assert [item.name for item in container.walk_blobs("a/")] == [f"a/{n:02}" for n in range(12)]
        assert list(container.list_blobs("zzz")) == []
        pages = container.list_blobs(results_per_page=5).by_page()
        next(pages)
        again = container.list_blobs(results_per_page=50).by_page(continuation_token=pages.continuation_token)
        assert [blob.name for blob in next(again)] == names[5:]

    def test_service_properties(self, service):
        assert service.get_service_properties()["delete_retention_policy"].enabled is False
        assert service.get_account_information()["sku_name"] == "Standard_LRS"
        assert refusal(service.set_service_properties, static_website=StaticWebsite(enabled=True)) == (501, "NotImplemented")
        service.set_service_properties(static_website=StaticWebsite(enabled=False))


class TestAsTheMlSdkDoes:
    """azure-ai-ml's own upload and download, with the account named localhost:PORT/ACCOUNT."""

    @pytest.fixture
    def source(self, tmp_path, live, monkeypatch):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", live.ca)
        monkeypatch.delenv("AZUREML_CURRENT_CLOUD", raising=False)  # an MLClient in the same process writes it into the environment
        (tmp_path / "code" / "sub").mkdir(parents=True)
        (tmp_path / "code" / "train.py").write_text("print('hi')")
        (tmp_path / "code" / "sub" / "data é.bin").write_bytes(os.urandom(3 << 20))
        return tmp_path / "code"

    @pytest.mark.parametrize("kind", ["blob", "lake"])
    def test_a_folder_goes_up_once_and_comes_down(self, live, container, source, tmp_path, kind, monkeypatch):
        from azure.ai.ml._artifacts._blob_storage_helper import BlobStorageClient
        from azure.ai.ml._artifacts._gen2_storage_helper import Gen2StorageClient

        def client():
            if kind == "blob":
                return BlobStorageClient(KEY, live.account_url(), container.container_name)
            # Its threads share one file client there: with more than one of them it hangs now and then.
            monkeypatch.setattr("azure.ai.ml._utils._asset_utils.cpu_count", lambda: 1)
            monkeypatch.setattr("azure.ai.ml._utils._asset_utils.PROCESSES_PER_CORE", 1)
            return Gen2StorageClient(KEY, container.container_name, live.account_url("dfs"))

        first = client().upload(str(source), "data1", "1", asset_hash="abc123", show_progress=False)
        assert (first["name"], first["version"]) == ("data1", "1")
        uploaded = {blob.name: blob.last_modified for blob in container.list_blobs()}
        again = client().upload(str(source), "data2", "7", asset_hash="abc123", show_progress=False)
        assert (again["name"], again["version"]) == ("data1", "1")  # recognised by its metadata
        assert {blob.name: blob.last_modified for blob in container.list_blobs()} == uploaded
        into = tmp_path / "down"
        into.mkdir()
        client().download(first["remote path"], str(into))
        assert {str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()} == {
            str(path.relative_to(source)): path.read_bytes() for path in source.rglob("*") if path.is_file()
        }
        assert client().exists(first["remote path"])
        assert not client().exists("LocalUpload/none")

    def test_code_goes_up_by_a_signature_on_the_container(self, live, container, source):
        from azure.ai.ml._artifacts._blob_storage_helper import BlobStorageClient

        token = sas.sign_blob_sas(KEY, ACCOUNT, container.container_name, permissions="racwl", expires=time.time() + 600)
        made = BlobStorageClient(None, f"{container.url}?{token}").upload(str(source), "c", "1", show_progress=False)
        assert made["remote path"] == "code"
        assert sorted(blob.name for blob in container.list_blobs()) == ["code/sub/data é.bin", "code/train.py"]


class TestHostStyle:
    """The account in the host name, where DNS or a proxy leads Azure's own names here, or where our own name is a wildcard."""

    @pytest.mark.parametrize("suffix", ["windows.net", TEAM])
    def test_key_and_signature(self, tmp_path, monkeypatch, suffix):
        real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **kw: real("127.0.0.1" if str(host).endswith(f".core.{suffix}") else host, *rest, **kw))
        with serve(blob_routes, tmp_path, public_host=TEAM) as live:
            self.use(live, f"https://{ACCOUNT}.blob.core.{suffix}:{live.port}")

    def use(self, live, url):
        service = BlobServiceClient(url, credential=KEY, connection_verify=live.ca, retry_total=0)
        assert service.account_name == ACCOUNT
        container = service.create_container(f"h{uuid.uuid4().hex[:12]}")
        blob = container.upload_blob("a b/é", b"1")
        copied = container.get_blob_client("copy")
        copied.start_copy_from_url(blob.url)
        token = generate_blob_sas(ACCOUNT, container.container_name, "a b/é", account_key=KEY, permission="r", expiry=soon())
        assert BlobClient.from_blob_url(f"{blob.url}?{token}", connection_verify=live.ca).download_blob().readall() == b"1"
        container.delete_blobs("a b/é", "copy")
        lake = DataLakeServiceClient(url.replace(".blob.", ".dfs."), credential=KEY, connection_verify=live.ca, retry_total=0)
        fs = lake.get_file_system_client(container.container_name)
        fs.get_file_client("d/f").upload_data(b"x", overwrite=True)
        fs.get_directory_client("d").rename_directory(f"{container.container_name}/e")
        assert [path.name for path in fs.get_paths()] == ["e", "e/f"]


class TestObstore:
    """object_store, written in Rust, is a client of its own; and extents in a remote store, served by this very server."""

    async def test_extents_in_a_remote_store(self, live, container):
        from obstore.store import AzureStore

        from lazward.storage.blobs.object_extents import ObjectExtents

        trust = {"allow_invalid_certificates": True}
        extents = ObjectExtents(AzureStore(container.container_name, account_name=ACCOUNT, account_key=KEY, endpoint=live.account_url(), client_options=trust, retry_config={"max_retries": 0}))
        pieces = [os.urandom(1 << 20) for _ in range(20)]

        async def stream():
            for piece in pieces:
                yield piece

        small, large = await extents.write(b"hello"), await extents.write(stream())
        assert b"".join([piece async for piece in extents.read(small.id, 1, 3)]) == b"el"
        assert b"".join([piece async for piece in extents.read(large.id, 0, large.size)]) == b"".join(pieces)
        assert {id async for id, _ in extents.listed()} == {small.id, large.id}
        await extents.delete([small.id, large.id])
        await extents.delete([small.id])
        assert list(container.list_blobs()) == []


async def test_the_asynchronous_client(live):
    from azure.storage.blob.aio import BlobServiceClient as AsyncService

    async with AsyncService(live.account_url(), credential=KEY, connection_verify=live.ca, retry_total=0) as service:
        container = await service.create_container(f"a{uuid.uuid4().hex[:12]}")
        await asyncio.gather(*(container.upload_blob(f"x/{n} +é%", b"1" * n) for n in range(20)))
        assert [blob.size async for blob in container.list_blobs("x/")] == [n for n in sorted(range(20), key=str)]
        blob = container.get_blob_client("x/7 +é%")
        assert await (await blob.download_blob()).readall() == b"1" * 7
