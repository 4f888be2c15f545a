"""Tells a server that is away from a call that is wrong."""

from __future__ import annotations

import ssl

SLOW = "no answer in time"


def reason_of(error: BaseException | None) -> str | None:
    """In a few words why the server could not be reached; None for an error that has another cause: a certificate that is not trusted, an
    address that is none, an answer that was given."""
    seen: set[int] = set()
    found = None
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return None
        kinds = {f"{kind.__module__.split('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
        if kinds & {"requests.InvalidURL", "requests.MissingSchema", "requests.InvalidSchema"}:
            return None
        if kinds & {"requests.ConnectionError", "requests.Timeout", "requests.ChunkedEncodingError", "urllib3.HTTPError", "builtins.ConnectionError", "builtins.TimeoutError", "socket.timeout"}:
            found = _words(str(error), kinds)
        error = error.__cause__ or error.__context__
    return found


def _words(text: str, kinds: set[str]) -> str:
    low = text.lower()
    if "refused" in low:
        return "connection refused"
    if any(part in low for part in ("name or service not known", "nodename nor servname", "name resolution", "getaddrinfo", "no address")):
        return "its name is not known"
    if "unreachable" in low:
        return "network unreachable"
    if "timed out" in low or "timeout" in low or any("imeout" in kind for kind in kinds):
        return SLOW
    return "the connection broke"
