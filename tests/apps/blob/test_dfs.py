import pytest

from tests.live import ACCOUNT


class TestErrors:
    async def test_are_json_with_the_names_of_paths(self, raw):
        answer = await raw("GET", "/cont/none", endpoint="dfs")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == answer.headers["x-ms-error-code"] == "PathNotFound"
        assert (await raw("GET", "/none?resource=filesystem&recursive=true", endpoint="dfs")).json()["error"]["code"] == "FilesystemNotFound"

    @pytest.mark.parametrize(("method", "path", "headers"), [
        ("PUT", "/cont/f?resource=folder", {}), ("PUT", "/cont/f", {}), ("PUT", "/cont/f", {"x_ms_rename_source": "nothing"}), ("PUT", "/cont/f", {"x_ms_rename_source": "/cont/"}),
        ("PUT", "/cont/f?resource=file", {"x_ms_properties": "a=!"}), ("PUT", "/cont/f?resource=file", {"x_ms_properties": "a=eA0KeQ=="}),
        ("PUT", "/cont/f?resource=file", {"x_ms_permissions": "rwz"}), ("PUT", "/cont/f?resource=file", {"x_ms_acl": "evil"}), ("PUT", "/cont/a//b?resource=file", {}),
        ("PATCH", "/cont/f?action=append", {}), ("PATCH", "/cont/f?action=append&position=-1", {}), ("PATCH", "/cont/f?action=flush&position=x", {}),
        ("PATCH", "/cont/f?action=setAccessControlRecursive&mode=evil", {"x_ms_acl": "user::rwx"}), ("PATCH", "/cont/f?action=unheard", {}), ("GET", "/cont?resource=filesystem", {}),
        ("GET", "/cont?resource=filesystem&recursive=true&continuation=!", {}),
    ])
    async def test_bad_requests(self, raw, method, path, headers):
        answer = await raw(method, path, endpoint="dfs", **headers)
        assert answer.status_code == 400, answer.text
        assert (await raw.store.list(ACCOUNT, "cont")).blobs == []

    async def test_a_file_is_no_folder(self, raw):
        await raw.store.put(ACCOUNT, "cont", "f", b"1")
        assert (await raw("PUT", "/cont/f/g?resource=file", endpoint="dfs")).status_code == 409
        assert (await raw("GET", "/cont?resource=filesystem&recursive=true&directory=f", endpoint="dfs")).status_code == 409

    async def test_what_is_not_built(self, raw):
        await raw.store.put(ACCOUNT, "cont", "f", b"1")
        for path, headers in (("/cont/f?action=append&position=1", {"x_ms_lease_action": "acquire"}), ("/cont/f?action=flush&position=1", {"x_ms_lease_action": "release"})):
            assert (await raw("PATCH", path, endpoint="dfs", **headers)).status_code == 501
        assert (await raw("PUT", "/cont/g?resource=file", endpoint="dfs", x_ms_expiry_option="Absolute")).status_code == 501
        assert (await raw("PUT", "/cont/f?comp=expiry", endpoint="dfs")).status_code == 501


async def test_append_with_flush_and_reading_back(raw):
    assert (await raw("PUT", "/cont/d/f?resource=file", endpoint="dfs", x_ms_properties="k=dg==")).status_code == 201
    assert (await raw("PATCH", "/cont/d/f?action=append&position=0&flush=true", endpoint="dfs", body=b"abc")).status_code == 202
    answer = await raw("GET", "/cont/d/f", endpoint="dfs")
    assert (answer.content, answer.headers["x-ms-properties"], answer.headers["x-ms-resource-type"]) == (b"abc", "k=dg==", "file")
    status = await raw("HEAD", "/cont/d?action=getStatus", endpoint="dfs")
    assert (status.status_code, status.headers["x-ms-resource-type"]) == (200, "directory")
    assert (await raw("HEAD", "/cont/?action=getAccessControl", endpoint="dfs")).headers["x-ms-permissions"] == "rwxr-x---"
    assert (await raw("PATCH", "/cont/d/f?action=setProperties", endpoint="dfs", x_ms_properties="z=", x_ms_content_type="a/b")).status_code == 200
    assert (await raw("HEAD", "/cont/d/f", endpoint="dfs")).headers["content-type"] == "a/b"


async def test_leases_by_post(raw):
    await raw("PUT", "/cont/f?resource=file", endpoint="dfs")
    taken = await raw("POST", "/cont/f", endpoint="dfs", x_ms_lease_action="acquire", x_ms_lease_duration="-1", x_ms_proposed_lease_id="00000000-0000-0000-0000-000000000001")
    assert (taken.status_code, taken.headers["x-ms-lease-id"]) == (201, "00000000-0000-0000-0000-000000000001")
    assert (await raw("DELETE", "/cont/f", endpoint="dfs")).status_code == 412


async def test_filesystems(raw):
    assert (await raw("PUT", "/fs1?resource=filesystem", endpoint="dfs", x_ms_properties="a=MQ==")).status_code == 201
    assert (await raw("HEAD", "/fs1?resource=filesystem", endpoint="dfs")).headers["x-ms-properties"] == "a=MQ=="
    assert (await raw("PATCH", "/fs1?resource=filesystem", endpoint="dfs", x_ms_properties="b=Mg==")).status_code == 200
    assert [fs["name"] for fs in (await raw("GET", "/?resource=account", endpoint="dfs")).json()["filesystems"]] == ["cont", "fs1"]
    assert (await raw("DELETE", "/fs1?resource=filesystem", endpoint="dfs")).status_code == 202
    assert (await raw("GET", "/fs1?resource=filesystem&recursive=false", endpoint="dfs")).status_code == 404


async def test_listing_pages_show_every_path_once(raw):
    for name in ("a/b/1", "a/b/2", "a/c", "d", "e/f/g/h"):
        await raw.store.put(ACCOUNT, "cont", name, b"1")
    for recursive, wanted in (("true", ["a", "a/b", "a/b/1", "a/b/2", "a/c", "d", "e", "e/f", "e/f/g", "e/f/g/h"]), ("false", ["a", "d", "e"])):
        found, after = [], ""
        while True:
            answer = await raw("GET", f"/cont?resource=filesystem&recursive={recursive}&maxResults=1&continuation={after}", endpoint="dfs")
            found += [path["name"] for path in answer.json()["paths"]]
            if not (after := answer.headers.get("x-ms-continuation", "")):
                break
        assert found == wanted
