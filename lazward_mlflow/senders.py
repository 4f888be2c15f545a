"""Two ways of saying a kept call to a server: through MLflow in the process that made it, and without MLflow afterwards."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request

from lazward_mlflow.calls import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import IO, Any

_SAFE = "/%?=&:@,+~!$'()*;"  # as MLflow's own HTTP client leaves them
UNREADY = (408, 425, 429, 500, 502, 503, 504)  # it may be well the next time


class Away(Exception):
    """The server did not answer, or answered that it cannot now. status: 0 when there was no answer."""

    def __init__(self, reason: str, status: int = 0):
        super().__init__(reason)
        self.status = status


class Forbidden(Exception):
    """The server does not know us, or does not let us (401, 403): to go on would be refused all the way."""


class PlainSender:
    """Standard library only. auth: gives the Authorization header, or None; it is asked again after a 401."""

    def __init__(self, base: str, auth: Callable[[bool], str | None], environ: Mapping[str, str], timeout: float):
        self.base = base
        self.timeout = timeout
        self._auth = auth
        self._token: str | None = None
        handlers: list[Any] = [urllib.request.HTTPSHandler(context=context(environ))] if base.startswith("https:") else []
        self._opener = urllib.request.build_opener(*handlers, _NoRedirect())

    def __call__(self, method: str, path: str, body: bytes | IO[bytes] | None, headers: Mapping[str, str], size: int = 0) -> tuple[int, bytes]:
        """(status, body) of the answer. size: of a file. Raises Away."""
        for again in (False, True):
            if self._token is None or again:
                self._token = self._auth(again)
            if again and hasattr(body, "seek"):
                body.seek(0)  # type: ignore[union-attr]
            status, answer = self._once(method, path, body, headers, size)
            if status != 401:
                break
        return status, answer

    def _once(self, method: str, path: str, body: Any, headers: Mapping[str, str], size: int) -> tuple[int, bytes]:
        sent = dict(headers)
        if self._token:
            sent["Authorization"] = self._token
        if hasattr(body, "read"):
            sent["Content-Length"] = str(size)
        request = urllib.request.Request(self.base + urllib.parse.quote(path, safe=_SAFE), data=body, headers=sent, method=method)  # noqa: S310
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise Forbidden(f"the certificate of {self.base} is not trusted: {error.reason}; set REQUESTS_CA_BUNDLE") from None
            raise Away(f"{error.reason}") from None
        except (OSError, socket.timeout, ValueError) as error:
            raise Away(f"{error or type(error).__name__}") from None
        except Exception as error:  # http.client's own: an answer that was cut off
            if type(error).__module__ == "http.client":
                raise Away(f"{type(error).__name__}: {error}") from None
            raise


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token goes nowhere else."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Trusts what MLflow would trust."""
    made = ssl.create_default_context()
    for name in ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        path = environ.get(name)
        if path and os.path.exists(path):
            made.load_verify_locations(**({"capath": path} if os.path.isdir(path) else {"cafile": path}))
            break
    if environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def authorization(environ: Mapping[str, str], base: str, alone: bool) -> Callable[[bool], str | None]:
    """As the environment says it: MLFLOW_TRACKING_TOKEN, MLFLOW_TRACKING_USERNAME and _PASSWORD, or a managed identity (IDENTITY_ENDPOINT).

    They are one server's, and no other gets them: that of MLFLOW_TRACKING_URI or IDENTITY_ENDPOINT. alone: `base` is the only one there is
    to talk to, so that a token by itself is meant for it."""
    tracking = environ.get("MLFLOW_TRACKING_URI", "")
    ours = same_server(address(tracking), base) if "://" in tracking else alone

    def header(again: bool) -> str | None:
        user = environ.get("MLFLOW_TRACKING_USERNAME")
        if ours and environ.get("MLFLOW_TRACKING_TOKEN"):
            return f"Bearer {environ['MLFLOW_TRACKING_TOKEN']}"
        if ours and user:
            return "Basic " + base64.b64encode(f"{user}:{environ.get('MLFLOW_TRACKING_PASSWORD', '')}".encode()).decode()
        if environ.get("IDENTITY_HEADER") and same_server(environ.get("IDENTITY_ENDPOINT", ""), base):
            return f"Bearer {_managed(environ)}"
        return None

    return header


def same_server(one: str, other: str) -> bool:
    first, second = urllib.parse.urlsplit(one), urllib.parse.urlsplit(other)
    return bool(first.netloc) and (first.scheme, first.netloc.lower()) == (second.scheme, second.netloc.lower())


def _managed(environ: Mapping[str, str]) -> str:
    query = urllib.parse.urlencode({"api-version": "2019-08-01", "resource": "https://management.azure.com/"})
    request = urllib.request.Request(f"{environ['IDENTITY_ENDPOINT']}?{query}", headers={"X-IDENTITY-HEADER": environ["IDENTITY_HEADER"]})  # noqa: S310
    try:
        with urllib.request.build_opener(urllib.request.HTTPSHandler(context=context(environ))).open(request, timeout=30) as answer:
            return json.load(answer)["access_token"]
    except urllib.error.HTTPError as error:
        raise Forbidden(f"{environ['IDENTITY_ENDPOINT']} gave no token: {error.code}") from None
    except (OSError, ValueError, KeyError) as error:
        raise Away(f"{environ['IDENTITY_ENDPOINT']} gave no token: {error}") from None
