"""The one client for addresses that users name: webhooks, and inputs of jobs on the web (S9, ADR-0026).

Each request is to an address that was resolved and judged here, and goes to that very address: a name that resolves to something else a
moment later gains nothing. A redirect is a new request, judged as the first, or none at all. No proxy of the environment is used, for it
would resolve names itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from lazward.domain.addresses import Address, AddressRefused, Target, is_public, literal, read_url

RESOLVE_S = 10.0
REDIRECTS = (301, 302, 303, 307, 308)

Resolve = Callable[[str, int], Awaitable[list[str]]]


class OutboundFailed(Exception):
    """The request could not be made or was not answered. The text names no address but the URL's own host."""


@dataclass(frozen=True)
class Answer:
    """body: its first bytes, up to the limit that was given."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


@dataclass(frozen=True)
class Outbound:
    """allow_http, allow_private: as the settings outbound_allow_http and outbound_allow_private. context: how certificates are checked."""

    allow_http: bool = False
    allow_private: bool = False
    context: ssl.SSLContext | None = None
    resolve: Resolve = field(default=resolve)

    async def check(self, url: str) -> tuple[Target, str]:
        """Where a request would go: what the URL says, and the address. Raises AddressRefused, OutboundFailed."""
        target = read_url(url, allow_http=self.allow_http)
        own = literal(target.host)
        if own is not None:
            found = [str(own)]
        else:
            try:
                async with asyncio.timeout(RESOLVE_S):
                    found = await self.resolve(target.host, target.port)
            except (OSError, UnicodeError, TimeoutError):
                raise OutboundFailed(f"The name '{target.host}' could not be resolved.") from None
        if not found:
            raise OutboundFailed(f"The name '{target.host}' has no address.")
        if not self.allow_private:
            for one in found:
                if not is_public(_address(one)):
                    raise AddressRefused(
                        f"'{target.host}' is at {one}, which is not a public address. The setting outbound_allow_private allows such addresses."
                    )
        return target, found[0]

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", timeout_s: float = 30.0, most: int = 64 * 1024,
    ) -> Answer:
        """One request; a redirect is an answer like any other. Raises AddressRefused, OutboundFailed."""
        try:
            async with asyncio.timeout(timeout_s), self._stream(method, url, headers or {}, body, timeout_s) as answer:
                got = bytearray()
                async for piece in answer.aiter_bytes():
                    got += piece
                    if len(got) >= most:
                        break
                return Answer(answer.status_code, dict(answer.headers), bytes(got[:most]))
        except TimeoutError:
            raise OutboundFailed(f"No answer within {timeout_s:g} seconds.") from None

    @contextlib.asynccontextmanager
    async def fetch(self, url: str, *, timeout_s: float = 60.0, redirects: int = 5) -> AsyncIterator[Any]:
        """The answer to a GET, to be read as a stream (status_code, aiter_bytes), after up to that many redirects. timeout_s: of each wait.
        Raises AddressRefused, OutboundFailed."""
        for _ in range(redirects + 1):
            async with self._stream("GET", url, {}, b"", timeout_s) as answer:
                onward = answer.headers.get("location") if answer.status_code in REDIRECTS else None
                if onward is None:
                    yield answer
                    return
                url = urljoin(url, onward)
        raise OutboundFailed(f"There were more than {redirects} redirects.")

    @contextlib.asynccontextmanager
    async def _stream(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> AsyncIterator[Any]:
        import httpx2  # not before it is needed: every start of the server would pay for it

        target, address = await self.check(url)
        place = f"[{address}]" if ":" in address else address
        host = f"[{target.host}]" if ":" in target.host else target.host
        named = host if target.port == (443 if target.scheme == "https" else 80) else f"{host}:{target.port}"
        verify = self.context or _certificates()
        try:
            async with (
                httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=timeout_s, verify=verify) as client,
                client.stream(
                    method, f"{target.scheme}://{place}:{target.port}{target.path}", headers={**headers, "host": named}, content=body or None,
                    extensions={"sni_hostname": target.host},
                ) as answer,
            ):
                yield answer
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise OutboundFailed(f"{method} to '{target.host}' failed: {error or type(error).__name__}.") from None


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Those that this process trusts, read once: to read them takes longer than a request."""
    import httpx2

    return httpx2.create_ssl_context()


def _address(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])
