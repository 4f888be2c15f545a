from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from lazward.apps.request_body import RequestBody
from lazward.contract.errors import ArmError


def body(*pieces: bytes, limit: int | None = 100, declared: bytes = b"", cut: bool = False) -> RequestBody:
    """cut: the client goes away behind these pieces."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if cut:
        messages.append({"type": "http.disconnect"})
    else:
        messages[-1]["more_body"] = False

    async def receive() -> Any:
        return messages.pop(0)

    return RequestBody(receive, limit, declared)


@pytest.mark.parametrize("pieces", [(b"",), (b"one",), (b"one", b"", b"two"), (b"one", b"two", b"")])
async def test_whole_and_in_pieces(pieces):
    whole = body(*pieces)
    assert await whole.whole() == b"".join(pieces) and await whole.whole() == b"".join(pieces)
    assert [piece async for piece in whole.stream()] == [b"".join(pieces)]
    assert [piece async for piece in body(*pieces).stream()] == [piece for piece in pieces if piece]


async def test_read_in_pieces_it_is_gone():
    read = body(b"one")
    assert [piece async for piece in read.stream()] == [b"one"]
    with pytest.raises(RuntimeError):
        await read.whole()


@pytest.mark.parametrize("made", [lambda: body(b"x" * 101), lambda: body(b"x" * 60, b"x" * 41), lambda: body(b"x", declared=b"101")])
async def test_the_limit(made):
    with pytest.raises(ArmError) as caught:
        await made().whole()
    assert (caught.value.status, caught.value.code) == (413, "RequestContentTooLarge")
    with pytest.raises(ArmError):
        _ = [piece async for piece in made().stream()]
    assert await body(b"x" * 100, declared=b"100").whole() == b"x" * 100
    assert await body(b"x" * 101, limit=None, declared=b"101").whole() == b"x" * 101


async def test_a_client_that_goes_away():
    with pytest.raises(ClientDisconnect):
        await body(b"one", cut=True).whole()
