"""Copies read only what the caller may read, and only here (S9)."""

import pytest

from lazward.identity import sas
from tests.live import ACCOUNT, WORKSPACE, add_workspace

BASE = f"https://localhost:8443/{ACCOUNT}.blob.core.windows.net"
DATA = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"


@pytest.fixture
async def source(raw, db):
    await raw.store.put(ACCOUNT, "cont", "src", b"data", headers={"contentType": "a/b"}, meta={"m": "1"})
    add_workspace(db, WORKSPACE + "2", "lzother")
    await raw.store.ensure_container("lzother", "cont")
    await raw.store.put("lzother", "cont", "secret", b"theirs")
    return raw


@pytest.mark.parametrize("url", [
    "http://localhost:8443/{a}.blob.core.windows.net/cont/src", "https://evil.example/{a}.blob.core.windows.net/cont/src", "https://localhost:9999/{a}.blob.core.windows.net/cont/src",
    "https://localhost:8443/cont/src", "https://user@localhost:8443/{a}.blob.core.windows.net/cont/src", "ftp://x", "//x", "", "https://lzmissing.blob.core.windows.net/cont/src",
    "https://localhost:8443/lzother.blob.core.windows.net/cont/secret", "https://localhost:8443/{a}.blob.core.windows.net/cont/src?sig=x&sv=2023-11-03&sr=b&sp=r&se=2099-01-01",
])
async def test_what_is_not_ours_or_not_the_callers(source, url):
    answer = await source("PUT", "/cont/dst", x_ms_copy_source=url.format(a=ACCOUNT))
    assert answer.status_code in (400, 403), answer.text
    assert await source.store.info(ACCOUNT, "cont", "dst") is None


async def test_a_signature_of_its_own_opens_another_account(source):
    theirs = sas.sign_blob_sas(sas.account_key(b"m" * 32, "lzother"), "lzother", "cont", "secret", permissions="r", expires=source.services.now() + 60)
    answer = await source("PUT", "/cont/dst", x_ms_copy_source=f"https://localhost:8443/lzother.blob.core.windows.net/cont/secret?{theirs}")
    assert answer.status_code == 202
    assert await source.store.read_all(ACCOUNT, "cont", "dst") == b"theirs"
    assert (await source("HEAD", "/cont/dst")).headers["x-ms-copy-source"].endswith("/cont/secret")  # without its signature


async def test_a_callers_signature_does_not_reach_beyond_itself(source):
    """Who may only write here could else read everything by copying it to where they can."""
    query = source.signed("/cont/dst", "cw")
    answer = await source("PUT", f"/cont/dst?{query}", key=None, x_ms_copy_source=f"{BASE}/cont/src")
    assert answer.status_code == 403


async def test_tokens(source):
    source.authority.add("writer", f"{DATA}/write")
    source.authority.add("both", f"{DATA}/*")
    source.authority.add("reader", f"{DATA}/read")
    send = {"key": None, "x_ms_copy_source": f"{BASE}/cont/src"}
    assert (await source("PUT", "/cont/dst", authorization="Bearer writer", **send)).status_code == 403
    assert (await source("PUT", "/cont/dst", authorization="Bearer both", **send)).status_code == 202
    assert (await source("PUT", "/cont/dst", authorization="Bearer writer", x_ms_copy_source_authorization="Bearer reader", **send)).status_code == 202
    assert (await source("PUT", "/cont/dst", authorization="Bearer both", **{**send, "x_ms_copy_source": "https://localhost:8443/lzother.blob.core.windows.net/cont/secret"})).status_code == 403


async def test_conditions_on_the_source(source):
    etag = (await source("HEAD", "/cont/src")).headers["etag"]
    assert (await source("PUT", "/cont/dst", x_ms_copy_source=f"{BASE}/cont/src", x_ms_source_if_match='"0x1"')).headers["x-ms-error-code"] == "SourceConditionNotMet"
    assert (await source("PUT", "/cont/dst", x_ms_copy_source=f"{BASE}/cont/src", x_ms_source_if_none_match=etag)).status_code == 412
    assert (await source("PUT", "/cont/dst", x_ms_copy_source=f"{BASE}/cont/src", x_ms_source_if_match=etag)).status_code == 202


async def test_blocks_and_appends_from_urls(source):
    assert (await source("PUT", "/cont/dst?comp=block&blockid=MQ==", x_ms_copy_source=f"{BASE}/cont/src", x_ms_source_range="bytes=1-2")).status_code == 201
    assert (await source("PUT", "/cont/dst?comp=blocklist", body=b"<BlockList><Latest>MQ==</Latest></BlockList>")).status_code == 201
    assert await source.store.read_all(ACCOUNT, "cont", "dst") == b"at"
    await source("PUT", "/cont/log", x_ms_blob_type="AppendBlob")
    for n in range(2):
        answer = await source("PUT", "/cont/log?comp=appendblock", x_ms_copy_source=f"{BASE}/cont/src")
        assert (answer.status_code, answer.headers["x-ms-blob-append-offset"]) == (201, str(4 * n))
    wrong = await source("PUT", "/cont/dst2", x_ms_blob_type="BlockBlob", x_ms_copy_source=f"{BASE}/cont/src", x_ms_source_content_md5="AAAA")
    assert wrong.headers["x-ms-error-code"] == "Md5Mismatch"
