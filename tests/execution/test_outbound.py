"""S9: what the server calls for a user is public and https, is the address that was judged, and stays it across redirects."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest

from lazward.domain.addresses import AddressRefused
from lazward.execution.outbound import Outbound, OutboundFailed
from tests.domain.test_addresses import PRIVATE
from tests.live import make_certificate
from tests.receiver import Receiver, listen


@pytest.fixture
def secure(tmp_path) -> Iterator[tuple[Receiver, ssl.SSLContext]]:
    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    made, httpd = listen(context)
    yield made, ssl.create_default_context(cafile=certificate)
    httpd.shutdown()
    httpd.server_close()


def names(*addresses: str):
    """A resolver that gives these, one call after the other the next list when lists are given."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return list(addresses)

    return resolve, asked


OPEN = Outbound(allow_http=True, allow_private=True)


async def test_a_request_reaches_its_receiver(receiver):
    answer = await OPEN.send("POST", f"http://localhost:{receiver.port}/hook?a=b", headers={"X-Mine": "1"}, body=b"{}")
    assert (answer.status, answer.body) == (200, b"ok")
    (method, path, headers, body), = receiver.seen
    assert (method, path, headers["x-mine"], headers["host"], body) == ("POST", "/hook?a=b", "1", f"localhost:{receiver.port}", b"{}")


@pytest.mark.parametrize("url", ["http://localhost:{port}/", "https://localhost:{port}/", "https://127.0.0.1:{port}/", "https://[::1]:{port}/", "https://[::ffff:127.0.0.1]:{port}/"])
async def test_s9_nothing_private_is_called_unless_allowed(receiver, url):
    with pytest.raises(AddressRefused):
        await Outbound().send("GET", url.format(port=receiver.port))
    with pytest.raises(AddressRefused):
        await Outbound(allow_http=True).send("GET", url.format(port=receiver.port))
    assert receiver.seen == []


async def test_s9_plain_http_is_refused_unless_allowed(receiver):
    with pytest.raises(AddressRefused, match="outbound_allow_http"):
        await Outbound(allow_private=True).send("GET", f"http://localhost:{receiver.port}/")
    assert receiver.seen == []


@pytest.mark.parametrize("address", PRIVATE)
async def test_s9_a_name_that_leads_to_a_private_address(address):
    for found in ([address], ["8.8.8.8", address]):  # one bad one is enough: which is taken would be chance
        resolve, _ = names(*found)
        with pytest.raises(AddressRefused, match="not a public address"):
            await Outbound(resolve=resolve).send("GET", "https://hook.example/")


async def test_s9_the_address_that_was_judged_is_the_one_called(receiver):
    """A second answer of the name, as of a rebinding one, is never asked for."""
    resolve, asked = names("127.0.0.1")
    await Outbound(allow_http=True, allow_private=True, resolve=resolve).send("GET", f"http://rebinding.example:{receiver.port}/")
    assert asked == ["rebinding.example"]
    assert receiver.seen[0][2]["host"] == f"rebinding.example:{receiver.port}"


async def test_certificates_are_checked_for_the_name_not_the_address(secure):
    receiver, context = secure
    resolve, _ = names("127.0.0.1")
    ours = Outbound(allow_private=True, context=context, resolve=resolve)
    assert (await ours.send("GET", f"https://localhost:{receiver.port}/")).status == 200
    with pytest.raises(OutboundFailed, match="other.example"):  # its certificate is good for 127.0.0.1, too
        await ours.send("GET", f"https://other.example:{receiver.port}/")
    with pytest.raises(OutboundFailed):
        await Outbound(allow_private=True, resolve=resolve).send("GET", f"https://localhost:{receiver.port}/")
    assert len(receiver.seen) == 1


async def test_s9_send_follows_no_redirect(receiver):
    receiver.answers["/from"] = (302, {"location": f"http://localhost:{receiver.port}/to"}, b"")
    assert (await OPEN.send("POST", f"http://localhost:{receiver.port}/from")).status == 302
    assert [path for _, path, _, _ in receiver.seen] == ["/from"]


async def test_s9_each_redirect_of_a_download_is_judged(receiver):
    receiver.answers["/a"] = (302, {"location": "/b"}, b"")
    receiver.answers["/b"] = (307, {"location": f"http://localhost:{receiver.port}/c"}, b"")
    receiver.answers["/c"] = (200, {}, b"bytes")
    async with OPEN.fetch(f"http://localhost:{receiver.port}/a") as answer:
        assert (answer.status_code, b"".join([piece async for piece in answer.aiter_bytes()])) == (200, b"bytes")
    receiver.answers["/d"] = (302, {"location": "https://metadata.example/latest"}, b"")

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"] if host == "start.example" else ["169.254.169.254"]

    class Half(Outbound):
        """Allows loopback for the first step only."""

        async def check(self, url):
            judge = OPEN if "start.example" in url else Outbound()
            return await Outbound(judge.allow_http, judge.allow_private, resolve=resolve).check(url)

    with pytest.raises(AddressRefused, match=r"169\.254"):
        async with Half().fetch(f"http://start.example:{receiver.port}/d"):
            raise AssertionError("not reached")
    receiver.answers["/loop"] = (302, {"location": "/loop"}, b"")
    with pytest.raises(OutboundFailed, match="redirects"):
        async with OPEN.fetch(f"http://localhost:{receiver.port}/loop"):
            raise AssertionError("not reached")


async def test_s19_an_answer_is_read_up_to_a_limit(receiver):
    receiver.answers["/big"] = (200, {}, b"x" * 1_000_000)
    assert len((await OPEN.send("GET", f"http://localhost:{receiver.port}/big", most=1000)).body) == 1000


async def test_what_cannot_be_reached(receiver):
    resolve, _ = names()
    with pytest.raises(OutboundFailed, match="no address"):
        await Outbound(resolve=resolve).send("GET", "https://none.example")
    with pytest.raises(OutboundFailed, match="could not be resolved"):
        await Outbound().send("GET", "https://no-such-name.invalid")
    with pytest.raises(OutboundFailed, match="failed"):
        await OPEN.send("GET", "http://localhost:1/")


async def test_s9_no_proxy_of_the_environment(receiver, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{receiver.port}")
    with pytest.raises(OutboundFailed):
        await OPEN.send("GET", "http://localhost:1/")
    assert receiver.seen == []
