"""MLflow's REST API as an importer needs it: calls, pages, patience, and files through the artifact proxy."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx2

from lazward.cli.moving.source import CHUNK, BadSource

_TRIES = 6
_LATER = {429, 500, 502, 503, 504}


class NotThere(Exception):
    """The server does not know the call, or what was asked for."""


class Api:
    """base: http(s)://HOST[/prefix]. A server that is away for some seconds is waited for."""

    def __init__(self, base: str):
        try:
            parts = urlsplit(base)
            whole = bool(parts.hostname) and not parts.query and not parts.fragment
        except ValueError:
            whole = False
        if not whole:
            raise BadSource(f"'{base[:300]}' is no address of a server: https://HOST, with a path where there is one.")
        self.base = base.rstrip("/")
        headers = {"User-Agent": "lazward"}
        user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
        auth = (user, password or "") if user else None
        if not auth and (token := os.environ.get("MLFLOW_TRACKING_TOKEN")):
            headers["Authorization"] = f"Bearer {token}"
        self._client = httpx2.Client(headers=headers, auth=auth, timeout=httpx2.Timeout(60, connect=10), follow_redirects=False)

    def get(self, path: str, api: str = "2.0", /, **query: Any) -> dict[str, Any]:
        return self._json("GET", f"/api/{api}/{path}", params={k: v for k, v in query.items() if v is not None})

    def post(self, path: str, body: dict[str, Any], api: str = "2.0", /) -> dict[str, Any]:
        return self._json("POST", f"/api/{api}/{path}", json=body)

    def pages(self, member: str, ask: Any) -> Iterator[dict[str, Any]]:
        """What is in `member` of all pages. ask(token): one page."""
        token: str | None = None
        while True:
            page = ask(token)
            yield from page.get(member) or ()
            following = page.get("next_page_token")
            if not following or following == token:
                return
            token = following

    def files(self, uri: str) -> Iterator[tuple[str, int]]:
        """(path, bytes) of every file below an artifact URI of the proxy."""
        root = proxied(uri)
        folders = [""]
        while folders:
            folder = folders.pop()
            at = f"{root}/{folder}".rstrip("/")
            for entry in self.get("mlflow-artifacts/artifacts", path=at).get("files") or ():
                path = f"{folder}/{entry['path'].rsplit('/', 1)[-1]}".lstrip("/")
                if entry.get("is_dir"):
                    folders.append(path)
                else:
                    yield path, int(entry.get("file_size") or 0)

    def download(self, uri: str, path: str) -> Iterator[bytes]:
        where = f"{self.base}/api/2.0/mlflow-artifacts/artifacts/{quote(f'{proxied(uri)}/{path}')}"
        try:
            with self._stream(where) as answer:
                if answer.status_code != 200:
                    raise BadSource(f"{where} answered {answer.status_code}.")
                yield from answer.iter_bytes(CHUNK)
        except httpx2.HTTPError as error:
            raise BadSource(f"{where}: {str(error) or type(error).__name__}.") from None

    def _stream(self, url: str) -> AbstractContextManager[httpx2.Response]:
        return self._client.stream("GET", url)

    def _json(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            try:
                answer = self._client.request(method, self.base + path, **what)
            except httpx2.HTTPError as error:
                if last or (isinstance(error, httpx2.ConnectError | httpx2.UnsupportedProtocol) and attempt > 1):
                    raise BadSource(f"{self.base} does not answer: {str(error) or type(error).__name__}.") from None
            else:
                if answer.status_code not in _LATER or last:
                    return self._read(answer, path)
            time.sleep(random.uniform(0.1, 0.3) * 2**attempt)  # noqa: S311 - jitter
        raise AssertionError("not reached")

    def _read(self, answer: httpx2.Response, path: str) -> dict[str, Any]:
        try:
            body = answer.json()
        except ValueError:
            body = None
        told = body.get("message") if isinstance(body, dict) else None
        if answer.status_code == 404:
            raise NotThere(told or f"{path} is not there")
        if answer.status_code in (401, 403):
            raise BadSource(f"{self.base} refuses: {told or answer.status_code}. Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.")
        if answer.status_code != 200:
            raise BadSource(f"{self.base}{path} answered {answer.status_code}: {str(told or answer.text)[:300]}")
        if not isinstance(body, dict):
            raise BadSource(f"{self.base}{path} answered no JSON object: it is no MLflow server, or something in front of it wants a sign-in.")
        return body


def proxied(uri: str) -> str:
    """The path that the proxy knows. NotThere for URIs that are not the proxy's."""
    parts = urlsplit(uri)
    if parts.scheme != "mlflow-artifacts":
        raise NotThere(f"they are at {uri}, which the server does not hand out")
    path = unquote(parts.path).strip("/")
    return path.removeprefix("api/2.0/mlflow-artifacts/artifacts/")
