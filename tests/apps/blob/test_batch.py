import pytest

from tests.live import ACCOUNT

TYPE = "multipart/mixed; boundary=b1"


def part(line, *headers, id=0):
    return "\r\n".join(["--b1", "Content-Type: application/http", f"Content-ID: {id}", "", f"{line} HTTP/1.1", *headers, "", ""])


def body(*parts):
    return ("\r\n".join(parts) + "\r\n--b1--\r\n").encode()


async def test_each_part_proves_itself(raw):
    for name in ("a", "b", "c", "d"):
        await raw.store.put(ACCOUNT, "cont", name, b"1")
    signed, read_only = raw.signed("/cont", "d"), raw.signed("/cont", "r")
    answer = await raw("POST", "/cont?restype=container&comp=batch", content_type=TYPE, body=body(
        part(f"DELETE /cont/a?{signed}", id=0), part("DELETE /cont/b", id=1), part(f"DELETE /cont/c?{read_only}", id=2),
        part(f"DELETE /{ACCOUNT}.blob.core.windows.net/cont/d?{signed}", id=3), part(f"DELETE /other/d?{signed}", id=4), part(f"GET /cont/c?{signed}", id=5),
    ))
    assert answer.status_code == 202
    assert [line.split()[1] for line in answer.text.splitlines() if line.startswith("HTTP/1.1")] == ["202", "401", "403", "202", "400", "501"]
    assert [blob.name for blob in (await raw.store.list(ACCOUNT, "cont")).blobs] == ["b", "c"]


@pytest.mark.parametrize(("kind", "content"), [
    ("text/plain", b""), (TYPE, b""), (TYPE, b"--b1--"), (TYPE, b"garbage"), (TYPE, b"--b2\r\n\r\n--b2--"), ("multipart/mixed", b"--b1\r\n--b1--"),
    (TYPE, body(*[part("DELETE /cont/a")] * 257)), (TYPE, b"x" * (5 << 20)),
])
async def test_what_is_no_batch(raw, kind, content):
    answer = await raw("POST", "/?comp=batch", content_type=kind, body=content)
    assert answer.status_code in (400, 413)


async def test_a_part_that_is_no_request_fails_alone(raw):
    await raw.store.put(ACCOUNT, "cont", "a", b"1")
    answer = await raw("POST", "/?comp=batch", content_type=TYPE, body=body("--b1\r\n\r\nDELETE nonsense", "--b1\r\nx", part(f"DELETE /cont/a?{raw.signed('/cont', 'd')}"), part("DELETE /cont/%ff")))
    assert [line.split()[1] for line in answer.text.splitlines() if line.startswith("HTTP/1.1")] == ["400", "400", "202", "400"]


async def test_a_content_id_cannot_add_headers(raw):
    answer = await raw("POST", "/?comp=batch", content_type=TYPE, body=body(part("DELETE /cont/a", id="x y\n")))
    assert "Content-ID: 0" in answer.text
