import pytest

GUID = "00000000-0000-0000-0000-00000000000{}"


@pytest.mark.parametrize(("headers", "code"), [
    ({}, "MissingRequiredHeader"), ({"x_ms_lease_action": "steal"}, "InvalidHeaderValue"), ({"x_ms_lease_action": "acquire"}, "MissingRequiredHeader"),
    ({"x_ms_lease_action": "acquire", "x_ms_lease_duration": "5"}, "InvalidHeaderValue"), ({"x_ms_lease_action": "acquire", "x_ms_lease_duration": "15", "x_ms_proposed_lease_id": "me"}, "InvalidHeaderValue"),
    ({"x_ms_lease_action": "renew"}, "MissingRequiredHeader"), ({"x_ms_lease_action": "break", "x_ms_lease_break_period": "61"}, "InvalidHeaderValue"),
])
async def test_bad_leases(raw, headers, code):
    await raw.store.put("lz0123456789abcdef0123", "cont", "b", b"1")
    for path in ("/cont/b?comp=lease", "/cont?restype=container&comp=lease"):
        answer = await raw("PUT", path, **headers)
        assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, code)


async def test_a_blocks_lease_is_asked_for(raw):
    await raw.store.put("lz0123456789abcdef0123", "cont", "b", b"1")
    await raw("PUT", "/cont/b?comp=lease", x_ms_lease_action="acquire", x_ms_lease_duration="-1", x_ms_proposed_lease_id=GUID.format(1))
    for path in ("/cont/b?comp=block&blockid=MQ==", "/cont/b?comp=blocklist", "/cont/b?comp=metadata", "/cont/b?comp=properties", "/cont/b?comp=tier"):
        body = b"<BlockList/>" if "blocklist" in path else b"x" if "blockid" in path else b""
        answer = await raw("PUT", path, body=body, x_ms_access_tier="Cool")
        assert (answer.status_code, answer.headers["x-ms-error-code"]) == (412, "LeaseIdMissing"), path
    assert (await raw("PUT", "/cont/b?comp=metadata", x_ms_lease_id=GUID.format(2))).headers["x-ms-error-code"] == "LeaseIdMismatchWithBlobOperation"
    assert (await raw("PUT", "/cont/b?comp=metadata", x_ms_lease_id=GUID.format(1))).status_code == 200
    assert (await raw("GET", "/cont/b", x_ms_lease_id=GUID.format(2))).status_code == 412


async def test_sizes(raw):
    await raw("PUT", "/cont/log", x_ms_blob_type="AppendBlob")
    assert (await raw("PUT", "/cont/log?comp=appendblock")).status_code == 400
    assert (await raw("PUT", "/cont/log?comp=appendblock", body=b"x", content_length=str(101 << 20))).status_code == 413
