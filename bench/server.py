"""A Lazward server of its own on a fresh data dir, and a plain HTTPS client that keeps its connection: for benchmarks and for the
tests that kill parts of the server.

    with Server() as server:
        arm = server.client()
        arm.put(server.path("jobs/a"), {...})
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from lazward.cli.processes import is_same

REPOSITORY = Path(__file__).parent.parent
API = "api-version=2025-12-01"
ML = "Microsoft.MachineLearningServices"


class Server:
    """data_dir: made and removed where none is given. environ: added to the server's environment. sets: settings, as name=value."""

    def __init__(self, data_dir: Path | None = None, environ: Mapping[str, str] | None = None, sets: tuple[str, ...] = ()):
        self.own = data_dir is None
        self.data_dir = data_dir or Path(tempfile.mkdtemp(prefix="lz"))
        self.environ = {**os.environ, "PYTHONPATH": str(REPOSITORY), **(environ or {})}
        self.sets = sets
        self.env: dict[str, str] = {}

    def __enter__(self) -> Server:
        try:
            self.up()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        self._remove()

    def up(self) -> None:
        """Starts it (or what is left of it) and returns when it is ready."""
        sets = [word for item in self.sets for word in ("--set", item)]
        ports = () if self.env else ("--port", "0", "--gateway-port", "0")  # a later start keeps what the first one took
        self._lazward("up", *ports, "--detach", *sets)
        self.env = json.loads(self._lazward("env", "--json"))["set"]

    def down(self) -> None:
        self._lazward("down")

    def _lazward(self, *words: str) -> str:
        verb, *rest = words
        done = subprocess.run(
            [sys.executable, "-m", "lazward.cli.main", verb, "--data-dir", str(self.data_dir), *rest], env=self.environ, capture_output=True, text=True,
        )
        if done.returncode:
            raise RuntimeError(f"lazward {verb} failed: {done.stdout}{done.stderr}{self.logs()}")
        return done.stdout

    def _remove(self) -> None:
        if self.own:
            for path, folders, _ in os.walk(self.data_dir):  # views of inputs are read-only
                for name in folders:
                    with contextlib.suppress(OSError):
                        os.chmod(Path(path) / name, 0o700)
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def logs(self, lines: int = 30) -> str:
        """The last lines of every part's log, for a message."""
        out = []
        for path in sorted((self.data_dir / "logs").glob("*.log")):
            out.append(f"\n--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:]))
        return "".join(out)

    @property
    def base(self) -> str:
        return self.env["REGISTRY_DISCOVERY_ENDPOINT_URL"].rstrip("/")

    @property
    def gateway(self) -> str:
        return json.loads((self.data_dir / "endpoint.json").read_text())["gateway_url"].rstrip("/")

    @property
    def workspace(self) -> str:
        env = self.env
        return f"/subscriptions/{env['LAZWARD_SUBSCRIPTION_ID']}/resourceGroups/{env['LAZWARD_RESOURCE_GROUP']}/providers/{ML}/workspaces/{env['LAZWARD_WORKSPACE']}"

    def path(self, below: str = "", query: str = API) -> str:
        """The path of something in the workspace, to be asked for with a client."""
        return f"{self.workspace}/{below}?{query}" if below else f"{self.workspace}?{query}"

    def client(self, resource: str = "https://management.azure.com", base: str = "") -> Client:
        return Client(base or self.base, self.env["SSL_CERT_FILE"], self.token(resource))

    def token(self, resource: str) -> str:
        anonymous = Client(self.base, self.env["SSL_CERT_FILE"])
        answer = anonymous.patiently("GET", f"/msi/token?api-version=2019-08-01&resource={quote(resource, safe='')}", headers={"X-IDENTITY-HEADER": self.env["IDENTITY_HEADER"]})
        assert answer.status == 200, answer
        anonymous.close()
        return answer.json()["access_token"]

    def pids(self) -> dict[str, int]:
        """Living parts by name: supervisor, control, worker, gateway."""
        found: dict[str, int] = {}
        for path, pick in (("run/parts.json", lambda d: d), ("run/server.json", lambda d: [{"name": "supervisor", **d}])):
            try:
                records = pick(json.loads((self.data_dir / path).read_text()))
            except (FileNotFoundError, ValueError):
                continue
            found |= {r["name"]: r["pid"] for r in records if r["pid"] and is_same(r["pid"], r["identity"])}
        return found

    def kill(self, *parts: str) -> list[str]:
        """kill -9 of those parts that live, all at one moment; returns which they were."""
        pids = self.pids()
        killed = []
        for part in parts:
            with contextlib.suppress(ProcessLookupError, KeyError):
                os.kill(pids[part], signal.SIGKILL)
                killed.append(part)
        return killed

    def put_code(self, name: str, files: Mapping[str, str]) -> str:
        """Uploads a code asset as the SDK does; its id."""
        account = next(d for d in self.client().get(self.path("datastores"))["value"] if d["name"] == "workspaceblobstore")["properties"]
        place = f"/{account['accountName'].rsplit('/', 1)[-1]}.blob.core.windows.net/{account['containerName']}"
        blobs = self.client("https://storage.azure.com")
        for path, text in files.items():
            answer = blobs.call("PUT", f"{place}/code/{name}/{path}", text.encode(), {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2023-11-03"})
            assert answer.status == 201, answer
        uri = f"{self.base}{place}/code/{name}"
        made = self.client().put(self.path(f"codes/{name}/versions/1"), {"properties": {"codeUri": uri}})
        return made["id"]


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body or b"null")


class Unacknowledged(Exception):
    """The connection broke before an answer came."""


class Client:
    """One connection that is kept. A broken one is made anew for the next call."""

    def __init__(self, base: str, ca: str, token: str = "", timeout: float = 60):
        parts = urlsplit(base)
        self.host, self.port, self.timeout = parts.hostname or "", parts.port, timeout
        self.context = ssl.create_default_context(cafile=ca)
        self.token = token
        self.connection: http.client.HTTPSConnection | None = None

    def call(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Raises Unacknowledged when no whole answer came."""
        sent = dict(headers or {})
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        try:
            if self.connection is None:
                self.connection = http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=self.context)
            self.connection.request(method, path, body, sent)
            response = self.connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unacknowledged(f"{method} {path}: {error!r}") from None
        return answer

    def json_call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        raw = None if body is None else json.dumps(body).encode()
        return self.call(method, path, raw, {**(headers or {}), **({"Content-Type": "application/json"} if raw is not None else {})})

    def get(self, path: str) -> Any:
        return _good(self.json_call("GET", path), (200,))

    def put(self, path: str, body: Any) -> Any:
        return _good(self.json_call("PUT", path, body), (200, 201))

    def post(self, path: str, body: Any = None) -> Any:
        return _good(self.json_call("POST", path, {} if body is None else body), (200, 202))

    def patiently(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, seconds: float = 60) -> Answer:
        """Says it again until there is an answer, as SDKs do; 5xx is none."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = self.json_call(method, path, body, headers)
                if answer.status < 500 and answer.status != 429:
                    return answer
                problem: object = answer
            except Unacknowledged as error:
                problem = error
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer within {seconds:g} s: {problem}")
            time.sleep(0.02)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def _good(answer: Answer, statuses: tuple[int, ...]) -> Any:
    if answer.status not in statuses:
        raise RuntimeError(f"{answer.status}: {answer.body[:2000]!r}")
    return answer.json()


def until(condition: Callable[[], Any], seconds: float = 60, pause: float = 0.02, what: Callable[[], object] = lambda: "") -> Any:
    """Asks until the answer is true, and returns it; TimeoutError with what() otherwise."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen within {seconds:g} s: {what()}")
        time.sleep(pause)
    return found
