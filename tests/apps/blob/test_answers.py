from lazward.apps.blob.answers import access_of, blob_headers, content_headers, http_date, lease_headers
from lazward.apps.blob.call import Call
from lazward.domain.blobs import leases
from lazward.identity.sas import Grant
from lazward.storage.blobs.records import BlobInfo


class FakeContext:
    class services:
        @staticmethod
        def now():
            return 0.0


def headers(grant=None, endpoint="blob", part=False, **facts):
    info = BlobInfo("a", "c", "b", **{"kind": "BlockBlob", "size": 5, "etag": "0xA", "extents": [], "headers": {}, "meta": {}, "created": 0.0, "modified": 1.0, **facts})
    return blob_headers(Call(FakeContext, endpoint, "GET", "/", [], {}, "a", "c", "b", grant=grant), info, part=part)


def test_defaults():
    found = headers()
    assert (found["content-type"], found["etag"], found["last-modified"], found["x-ms-lease-state"]) == ("application/octet-stream", '"0xA"', "Thu, 01 Jan 1970 00:00:01 GMT", "available")
    assert "content-md5" not in found


def test_a_signature_overrides():
    assert headers(Grant("service", "r", "blob", overrides={"content-type": "x/y"}), headers={"contentType": "a/b"})["content-type"] == "x/y"


def test_kinds():
    assert headers(kind="Directory")["x-ms-blob-type"] == "BlockBlob"
    assert headers(kind="Directory")["x-ms-resource-type"] == "directory"
    assert headers(kind="AppendBlob", blocks=7)["x-ms-blob-committed-block-count"] == "7"
    assert headers(endpoint="dfs")["x-ms-resource-type"] == "file"


def test_the_digest_of_a_part_has_another_name():
    assert headers(headers={"contentMD5": "m"}, part=True)["x-ms-blob-content-md5"] == "m"


def test_content_headers_by_their_two_names():
    given = {"x-ms-blob-content-type": "a/b", "content-type": "c/d", "content-encoding": "gzip"}
    assert content_headers(given) == {"contentType": "a/b"}
    assert content_headers(given, standard=True) == {"contentType": "a/b", "contentEncoding": "gzip"}


def test_leases():
    assert lease_headers(leases.acquire(None, "i", -1, 0), 1)["x-ms-lease-duration"] == "infinite"
    assert lease_headers(leases.acquire(None, "i", 15, 0), 20) == {"x-ms-lease-state": "expired", "x-ms-lease-status": "unlocked"}


def test_access_and_dates():
    info = BlobInfo("a", "c", "d", "Directory", 0, "e", [], {}, {}, 0.0, 0.0, access={"owner": "me"})
    assert access_of(info) == {"owner": "me", "group": "$superuser", "permissions": "rwxr-x---", "acl": "user::rwx,group::r-x,other::---"}
    assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
