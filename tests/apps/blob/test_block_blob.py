"""What the clients of the conformance tests do not send: raw, broken and hostile requests."""

import base64
import hashlib

import pytest

from tests.live import ACCOUNT

ID = base64.b64encode(b"1").decode()


async def code(answer):
    return answer.status_code, answer.headers.get("x-ms-error-code")


class TestPut:
    async def test_digests_are_checked(self, raw):
        good = base64.b64encode(hashlib.md5(b"data").digest()).decode()
        answer = await raw("PUT", "/cont/b", body=b"data", x_ms_blob_type="BlockBlob", content_md5=good)
        assert (answer.status_code, answer.headers["content-md5"]) == (201, good)
        for path, headers in (("/cont/b", {"x_ms_blob_type": "BlockBlob"}), (f"/cont/b?comp=block&blockid={ID}", {}), ("/cont/log?comp=appendblock", {})):
            await raw("PUT", "/cont/log", x_ms_blob_type="AppendBlob")
            assert await code(await raw("PUT", path, body=b"other", content_md5=good, **headers)) == (400, "Md5Mismatch")
            assert await code(await raw("PUT", path, body=b"other", x_ms_content_crc64="AAAAAAAAAAA=", **headers)) == (400, "Crc64Mismatch")
            assert await code(await raw("PUT", path, body=b"other", content_md5="nonsense", **headers)) == (400, "InvalidHeaderValue")
        assert await raw.store.read_all(ACCOUNT, "cont", "b") == b"data"
        assert await raw.store.read_all(ACCOUNT, "cont", "log") == b""

    @pytest.mark.parametrize(("headers", "status", "wanted"), [
        ({}, 400, "MissingRequiredHeader"), ({"x_ms_blob_type": "PageBlob"}, 501, "NotImplemented"), ({"x_ms_blob_type": "BlockBlob", "x_ms_meta_a.b": "1"}, 400, "InvalidMetadata"),
        ({"x_ms_blob_type": "BlockBlob", "x_ms_tags": "&".join(f"t{n}=1" for n in range(11))}, 400, "InvalidInput"),
        ({"x_ms_blob_type": "BlockBlob", "x_ms_access_tier": "Warm"}, 400, "InvalidHeaderValue"), ({"x_ms_blob_type": "BlockBlob", "if_modified_since": "soon"}, 400, "InvalidHeaderValue"),
        ({"x_ms_blob_type": "BlockBlob", "x_ms_structured_body": "XSM/1.0; properties=crc64"}, 501, "NotImplemented"),
        ({"x_ms_blob_type": "BlockBlob", "x_ms_encryption_key": "x"}, 501, "NotImplemented"), ({"x_ms_blob_type": "BlockBlob", "x_ms_if_tags": "a=1"}, 501, "NotImplemented"),
        ({"x_ms_blob_type": "BlockBlob", "x_ms_lease_id": "x"}, 412, "LeaseNotPresentWithBlobOperation"), ({"x_ms_blob_type": "BlockBlob", "content_length": "abc"}, 400, "InvalidHeaderValue"),
        ({"x_ms_blob_type": "AppendBlob", "content_length": "1"}, 413, "RequestBodyTooLarge"), ({"x_ms_blob_type": "BlockBlob", "content_length": str(6000 << 20)}, 413, "RequestBodyTooLarge"),
    ])
    async def test_bad_requests_change_nothing(self, raw, headers, status, wanted):
        assert await code(await raw("PUT", "/cont/b", body=b"1", **headers)) == (status, wanted)
        assert (await raw.store.list(ACCOUNT, "cont")).blobs == []
        assert [found async for found in raw.store.extents.listed()] == []

    async def test_a_stored_type_cannot_become_two_headers(self, raw):
        answer = await raw("PUT", "/cont/b", body=b"1", x_ms_blob_type="BlockBlob", x_ms_blob_content_type="a/b\x7fc")
        assert answer.status_code == 400


class TestNames:
    """S2: whatever the path says, it is a name or it is refused."""

    @pytest.mark.parametrize("path", ["/cont/a%00b", "/cont/%2e%2e/x", "/cont/a/%2E%2E/%2e%2e/etc/passwd", "/cont/..%2f..%2fx", "/cont/%ff", "/cont/a%0ab", "/cont/" + "a" * 1025, "/Co_nt/b"])
    async def test_refused(self, raw, path):
        answer = await raw("PUT", path, body=b"1", x_ms_blob_type="BlockBlob")
        assert answer.status_code in (400, 404), answer.text
        assert (await raw.store.list(ACCOUNT, "cont")).blobs == []

    @pytest.mark.parametrize(("path", "name"), [
        ("/cont/%252e%252e/x", "%2e%2e/x"), ("/cont//a", "/a"), ("/cont/a//b", "a//b"), ("/cont/a/", "a/"), ("/cont/a%5C..%5Cb", "a\\..\\b"), ("/cont/a;b", "a;b"),
        ("/cont/a%3Fb%23c", "a?b#c"), ("/cont/a+b%20c", "a+b c"), ("/cont/%F0%9F%99%82", "\U0001f642"), ("/cont/C%3A%5Cx", "C:\\x"), ("/cont/%EF%BF%BD", "\ufffd"),
    ])
    async def test_kept_as_they_are(self, raw, path, name):
        assert (await raw("PUT", path, body=b"1", x_ms_blob_type="BlockBlob")).status_code == 201
        assert [blob.name for blob in (await raw.store.list(ACCOUNT, "cont")).blobs] == [name]
        assert (await raw("GET", path)).content == b"1"


class TestGet:
    async def test_ranges(self, raw):
        await raw.store.put(ACCOUNT, "cont", "b", bytes(range(100)))
        answer = await raw("GET", "/cont/b", range="bytes=10-19")
        assert (answer.status_code, answer.headers["content-range"], answer.content) == (206, "bytes 10-19/100", bytes(range(10, 20)))
        assert (await raw("GET", "/cont/b", range="bytes=10-19", x_ms_range="bytes=0-1")).content == b"\x00\x01"
        answer = await raw("GET", "/cont/b", x_ms_range="bytes=100-")
        assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */100")
        answer = await raw("GET", "/cont/b", x_ms_range="bytes=0-9", x_ms_range_get_content_md5="true", x_ms_range_get_content_crc64="true")
        assert answer.headers["content-md5"] == base64.b64encode(hashlib.md5(bytes(range(10))).digest()).decode()
        assert len(base64.b64decode(answer.headers["x-ms-content-crc64"])) == 8

    async def test_the_digest_of_the_whole_is_not_that_of_a_part(self, raw):
        await raw("PUT", "/cont/b", body=b"data", x_ms_blob_type="BlockBlob")
        whole, part = await raw("GET", "/cont/b"), await raw("GET", "/cont/b", range="bytes=0-1")
        assert "content-md5" not in part.headers
        assert part.headers["x-ms-blob-content-md5"] == whole.headers["content-md5"]

    async def test_stored_pages_run_without_rights_in_a_browser(self, raw):
        """S11."""
        await raw("PUT", "/cont/b.html", body=b"<script>alert(1)</script>", x_ms_blob_type="BlockBlob", x_ms_blob_content_type="text/html")
        answer = await raw("GET", "/cont/b.html")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"

    async def test_head_has_no_body_and_the_code_in_a_header(self, raw):
        answer = await raw("HEAD", "/cont/none")
        assert (answer.status_code, answer.headers["x-ms-error-code"], answer.content) == (404, "BlobNotFound", b"")

    async def test_not_modified(self, raw):
        await raw.store.put(ACCOUNT, "cont", "b", b"1")
        etag = (await raw("HEAD", "/cont/b")).headers["etag"]
        answer = await raw("GET", "/cont/b", if_none_match=etag)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)

    async def test_a_page_of_another_origin_is_refused(self, raw):
        await raw.store.put(ACCOUNT, "cont", "b", b"1")
        answer = await raw("GET", "/cont/b", origin="https://evil.example")
        assert answer.status_code == 403


class TestBlocks:
    @pytest.mark.parametrize("id", ["", "!!", "A", base64.b64encode(b"x" * 65).decode(), "@00000000000000000000"])
    async def test_ids(self, raw, id):
        answer = await raw("PUT", f"/cont/b?comp=block&blockid={id}", body=b"1")
        assert answer.status_code == 400

    async def test_an_empty_block(self, raw):
        assert await code(await raw("PUT", f"/cont/b?comp=block&blockid={ID}")) == (400, "InvalidHeaderValue")

    @pytest.mark.parametrize("body", [b"", b"<BlockList>", b"<Other/>", b"<BlockList><Evil>MQ==</Evil></BlockList>", b"\x00", b"[]",
                                      b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><BlockList><Latest>&e;</Latest></BlockList>',
                                      b'<!DOCTYPE l [<!ENTITY a "xx"><!ENTITY b "&a;&a;">]><BlockList><Latest>&b;</Latest></BlockList>'])
    async def test_lists_that_are_none(self, raw, body):
        answer = await raw("PUT", "/cont/b?comp=blocklist", body=body)
        assert answer.status_code == 400, answer.text
        assert "root:" not in answer.text

    async def test_a_list_of_very_many(self, raw):
        await raw("PUT", f"/cont/b?comp=block&blockid={ID}", body=b"1")
        body = b"<BlockList>" + f"<Latest>{ID}</Latest>".encode() * 50_000 + b"</BlockList>"
        assert (await raw("PUT", "/cont/b?comp=blocklist", body=body)).status_code == 201
        answer = await raw("GET", "/cont/b", range="bytes=49990-")
        assert (answer.status_code, answer.content) == (206, b"1" * 10)
        body = body.replace(b"</BlockList>", f"<Latest>{ID}</Latest></BlockList>".encode())
        assert await code(await raw("PUT", "/cont/b?comp=blocklist", body=body)) == (409, "BlockCountExceedsLimit")


class TestTags:
    @pytest.mark.parametrize("body", [b"<Tags><TagSet><Tag><Key>a</Key></Tag></TagSet></Tags>", b"<Tags><TagSet>" + b"<Tag><Key>a</Key><Value/></Tag>" * 2 + b"</TagSet></Tags>"])
    async def test_bad(self, raw, body):
        await raw.store.put(ACCOUNT, "cont", "b", b"1")
        assert (await raw("PUT", "/cont/b?comp=tags", body=body)).status_code == 400
