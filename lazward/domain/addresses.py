"""Which addresses the server may call on somebody's behalf (S9): public ones, over https, unless the settings allow more."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL = 2048
# Global by the registries, but answered by a cloud's own host to every machine of it: credentials and configuration.
_METADATA = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24")))
_TEREDO = ipaddress.IPv6Network("2001::/32")  # a tunnel through somebody's relay: nobody has a server there
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


class AddressRefused(Exception):
    """The server does not call this. The text is a sentence that says why."""


class Target(NamedTuple):
    """An address that may be called if what its host resolves to may be. host: without brackets."""

    url: str
    scheme: str
    host: str
    port: int
    path: str  # with query; begins with /


def read_url(url: str, *, allow_http: bool = False) -> Target:
    """Raises AddressRefused for what is no absolute https (or allowed http) URL, or one that readers may understand differently."""
    if not url.strip() or len(url) > MAX_URL:
        raise AddressRefused(f"A URL has 1 to {MAX_URL} characters.")
    if re.search(r"[\x00-\x20\x7f\\]", url) or not url.isascii():
        raise AddressRefused("The URL holds a blank, a control character, a backslash or a letter beyond ASCII; write those in percent form.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused(f"The URL cannot be read: {error}.") from None
    schemes = ("https", "http") if allow_http else ("https",)
    if parts.scheme.lower() not in schemes:
        raise AddressRefused(f"Its scheme is '{parts.scheme[:20]}'; {' or '.join(schemes)} is allowed" + ("." if allow_http else " (http by the setting outbound_allow_http)."))
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("A URL must not hold credentials.")
    host = (parts.hostname or "").rstrip(".")
    if not host or "%" in host:
        raise AddressRefused("The URL names no host.")
    if re.fullmatch(r"[0-9a-fx.]*[0-9]", host) and literal(host) is None and re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*", host):
        raise AddressRefused(f"'{host[:60]}' is a number that some programs take for an address; write it as four numbers with dots.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(url, parts.scheme.lower(), host, port or (443 if parts.scheme.lower() == "https" else 80), path)


def literal(host: str) -> Address | None:
    """The address a host name is, if it is one in its usual spelling."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether it can belong to somebody on the internet: not this machine, its network, its cloud's own services, nor one of these in
    the clothes of IPv6."""
    inner = _inner(address)
    return inner.is_global and not inner.is_multicast and not any(inner in network for network in (*_METADATA, _TEREDO))


def _inner(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one of the kinds that gateways unwrap."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    found = address.ipv4_mapped or address.sixtofour
    if found is None and (any(address in network for network in _NAT64) or int(address) >> 32 == 0):
        found = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address if found is None else found
