"""Decides for each of MLflow's HTTP calls whether it goes to the server, into the journal, or is answered from what is known."""

from __future__ import annotations

import base64
import copy
import json
import threading
import time
from urllib.parse import quote

from lazward_mlflow import calls
from lazward_mlflow.heartbeat import Heart
from lazward_mlflow.journal import Full
from lazward_mlflow.lane import Lane
from lazward_mlflow.outage import SLOW, reason_of
from lazward_mlflow.senders import UNREADY, Away
from lazward_mlflow.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

UPLOAD_S, READ_S, PROBE_S = 120.0, 60.0, 5.0
READ_TRIES = 2  # again, of a read that only the server can answer, where it was well a moment ago
HELD_PAUSE_S = 1.0
HELD_FAILURES = 5  # answers of 500 to a call that waits, before its caller gets the last one


class Spool:
    """original: MLflow's http_request."""

    def __init__(self, settings: Settings, original: Callable[..., Any]):
        self.settings = settings
        self.original = original
        self.lanes: dict[str, Lane] = {}
        self._lock = threading.Lock()
        self.heart = Heart(self)

    def lane(self, base: str) -> Lane:
        with self._lock:
            if base not in self.lanes:
                self.lanes[base] = Lane(base, self.settings, self._sender(base))
            return self.lanes[base]

    def reset(self) -> None:
        """In the child of a fork: the journals are the parent's, and so are its threads and locks."""
        known = {base: (lane.known, lane.creds, lane.ids) for base, lane in self.lanes.items()}
        for lane in self.lanes.values():
            lane.abandon()
        self._lock, self.lanes, self.heart = threading.Lock(), {}, Heart(self)
        for base, (facts, creds, ids) in known.items():
            lane = self.lane(base)
            lane.known, lane.creds, lane.ids = facts, creds, dict(ids)

    def close(self) -> None:
        self.heart.stop()
        deadline = time.monotonic() + self.settings.exit_wait
        for lane in list(self.lanes.values()):
            lane.close(max(deadline - time.monotonic(), 0.0))

    # ---- MLflow's calls -------------------------------------------------------------------------------------------------

    def request(self, host_creds: Any, endpoint: str, method: str, **kwargs: Any) -> Any:
        """Instead of http_request: the same arguments, the same answers and errors."""
        place = None if getattr(host_creds, "use_databricks_sdk", False) else calls.split(f"{(host_creds.host or '').rstrip('/')}{endpoint}")
        if place is None:
            if self.settings.offline:
                raise _error(f"{method} {endpoint} needs the server, and LAZWARD_OFFLINE is set.")
            return self.original(host_creds, endpoint, method, **kwargs)
        base, path = place
        lane, name = self.lane(base), calls.name_of(path)
        if (host_creds.host or "").rstrip("/") == base:
            lane.creds = host_creds
        if lane.ids:
            path = lane.rename(path)
            if kwargs.get("params"):
                kwargs["params"] = json.loads(lane.rename(json.dumps(kwargs["params"])))
        if name.startswith("files/") and "/mlflow/v" in base:  # the plugin keeps names as they are, where MLflow takes a %41 in them for an A
            path = quote(path)
        kind = calls.kind_of(method, name)
        call = Call(self, lane, host_creds, method, path, name, kwargs)
        if kind == calls.READ:
            return call.read()
        if kind == calls.ONCE:
            return call.once()
        return call.write() if kind == calls.KEPT else call.hold()

    def upload(self, base: str, path: str, local: str, direct: Callable[[], Any]) -> Any:
        """A file by a way of its own (`direct`), or into the journal, from where it goes to `path`."""
        lane = self.lane(base)
        reason = "LAZWARD_OFFLINE is set" if self.settings.offline else lane.away if lane.pending else self._probe(lane)
        if not reason:
            try:
                return direct()
            except Exception:
                reason = self._probe(lane)
                if not reason:
                    raise
        with open(local, "rb") as file:
            lane.keep_file({"m": "PUT", "p": path}, file, reason)
        return None

    def _probe(self, lane: Lane) -> str:
        """"" when the server is there, or cannot be asked; else why not."""
        if lane.creds is None:
            return ""
        try:
            answer = self.original(lane.creds, "/health", "GET", max_retries=0, timeout=PROBE_S, raise_on_status=False)
        except Exception as error:
            reason = reason_of(error)
            if reason is None:
                raise
            return reason
        return f"it answers {answer.status_code}" if answer.status_code in UNREADY else ""

    def _sender(self, base: str) -> Callable[..., tuple[int, bytes]]:
        def send(method: str, path: str, body: Any, headers: Any, size: int = 0) -> tuple[int, bytes]:
            lane = self.lanes[base]
            timeout = UPLOAD_S if size else max(self.settings.timeout, 30.0)  # of the drain nobody is kept waiting
            for fresh in (False, True):
                creds = self._fresh(lane) if fresh else lane.creds
                if hasattr(body, "seek"):
                    body.seek(0)
                try:
                    answer = self.original(
                        creds, path, method, data=body, extra_headers=dict(headers), max_retries=0, timeout=timeout, raise_on_status=False,
                    )
                except Exception as error:
                    raise Away(reason_of(error) or f"{type(error).__name__}: {error}") from None
                if answer.status_code != 401:
                    break
            return answer.status_code, answer.content

        return send

    @staticmethod
    def _fresh(lane: Lane) -> Any:
        """Credentials asked for anew: a token may have ended while the server was away."""
        try:
            from mlflow.tracking._tracking_service.utils import _get_store

            found = _get_store().get_host_creds()
            if found.host.rstrip("/") == lane.base:
                lane.creds = found
        except Exception:  # noqa: S110 - then those that we have must do
            pass
        return lane.creds


class Call:
    def __init__(self, spool: Spool, lane: Lane, creds: Any, method: str, path: str, name: str, kwargs: dict[str, Any]):
        self.spool, self.lane, self.settings = spool, lane, spool.settings
        self.method, self.path, self.name, self.kwargs = method, path, name, kwargs
        own = getattr(creds, "token", None) or getattr(creds, "username", None) or getattr(creds, "auth", None)
        self.creds = creds if own or lane.creds is None else lane.creds
        host, url = (self.creds.host or "").rstrip("/"), lane.base + path
        if not url.startswith(host):  # an address that was named here, and that the server calls something else
            self.creds, host = copy.copy(self.creds), lane.base
            self.creds.host = host
        self.endpoint = url[len(host):]

    def read(self) -> Any:
        query = self.kwargs.get("params") or self.kwargs.get("json") or {}
        if self.lane.pending and not self.settings.offline and not self.lane.away:
            self.lane.wait(self.settings.timeout)
        known = self._known(query)
        if known is not None and (self.settings.offline or (self.lane.pending and self.lane.away)):
            return known
        if self.settings.offline:
            raise _error(f"{self.name} can be answered by the server only, and LAZWARD_OFFLINE is set.")
        try:
            answer = self._attempt(0, timeout=self.settings.timeout if known is not None or self.lane.away else READ_S)
        except _Outage as outage:
            if known is not None:
                return known
            if self.lane.away or outage.reason == SLOW or self.kwargs.get("max_retries") == 0:
                return outage.give()
            return self._plain(max_retries=READ_TRIES)
        return self._learn(answer)

    def write(self) -> Any:
        record, body = self._record()
        if self.settings.offline:
            return self._keep(record, body, "LAZWARD_OFFLINE is set")
        if self.lane.pending:
            if "z" in record:
                return self._keep(record, body, self.lane.away)
            if self.lane.keep_if_pending(record):
                return self._kept(record, body)
        try:
            answer = self._attempt(0)
        except _Outage as outage:
            return self._keep(record, body, outage.reason)
        if answer.status_code < 300:
            self.lane.known.log(self.name, body, record.get("o"))
            self._beat(body, record)
        return self._learn(answer)

    def once(self) -> Any:
        try:
            return self._attempt(0, timeout=PROBE_S if self.name.startswith("files/mpu/create") else UPLOAD_S)
        except _Outage as outage:
            return outage.give()

    def hold(self) -> Any:
        """What must not be done twice and cannot be done later waits for the server, and then fails in words that help."""
        if self.settings.offline:
            raise _error(f"{self.method} {self.name} cannot be kept for later, and LAZWARD_OFFLINE is set. Run it again when the server can be reached; what was logged so far is in {self.lane.folder or self.settings.folder}.")
        deadline = time.monotonic() + self.settings.wait
        reason, failures = "", 0
        while True:
            left = deadline - time.monotonic()
            if self.lane.wait(max(left, 0.0)):
                try:
                    return self._attempt(0, timeout=max(self.settings.timeout, UPLOAD_S))
                except _Outage as outage:
                    failures += outage.reason == "it answers 500"
                    if not outage.unheard or failures > HELD_FAILURES:
                        return outage.give()
                    reason = outage.reason
            if time.monotonic() >= deadline:
                break
            time.sleep(min(HELD_PAUSE_S, max(deadline - time.monotonic(), 0.0)))
        kept = f"; {self.lane.folder} holds it until the server is back" if self.lane.pending else ""
        raise _error(
            f"{self.method} {self.name}: {self.lane.base} has not answered for {self.settings.wait:g} s ({reason or self.lane.away}), and this call cannot be "
            f"kept for later. Nothing that was logged is lost{kept}. Run this call again then; LAZWARD_SPOOL_WAIT says how long to wait."
        )

    # ---- to the server --------------------------------------------------------------------------------------------------

    def _attempt(self, tries: int, timeout: float = 0.0) -> Any:
        """Once, with our own short time. Raises _Outage."""
        given = self.kwargs.get("timeout")
        data = self.kwargs.get("data")
        limit = timeout or (UPLOAD_S if hasattr(data, "read") else self.settings.timeout)
        if isinstance(given, (int, float)) and given > 0:
            limit = min(limit, given)
        try:
            answer = self._plain(max_retries=tries, timeout=limit, raise_on_status=False)
        except Exception as error:
            reason = reason_of(error)
            if reason is None:
                raise
            raise _Outage(reason, error=error) from error
        if answer.status_code in UNREADY:
            raise _Outage(f"it answers {answer.status_code}", answer=answer)
        return answer

    def _plain(self, **changes: Any) -> Any:
        return self.spool.original(self.creds, self.endpoint, self.method, **{**self.kwargs, **changes})

    def _learn(self, answer: Any) -> Any:
        """Takes note of what the server says, of the few answers that we may have to give ourselves."""
        if answer.status_code == 200 and self.name.startswith(("runs/create", "runs/get", "runs/update", "experiments/get", "logged-models")) and not self.kwargs.get("stream"):
            try:
                self.lane.known.learn(self.name, answer.json())
            except (ValueError, KeyError, TypeError, AttributeError):
                pass
        return answer

    def _known(self, query: Any) -> Any:
        found = self.lane.known.answer(self.name, query)
        if found is not None:
            return _response(self.lane.base + self.path, 200, found)
        if self.name == "metrics/get-history":
            values = self.lane.history(str(query.get("run_id") or query.get("run_uuid") or ""), str(query.get("metric_key") or ""))
            return None if values is None else _response(self.lane.base + self.path, 200, {"metrics": values})
        if self.name == "experiments/get-by-name":  # it is made when the calls are sent, or found to be there already
            missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not known while the server is away"}
            return _response(self.lane.base + self.path, 404, missing)
        if self.name.endswith("server-info"):
            return _response(self.lane.base + self.path, 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "not known while the server is away"})
        return None

    # ---- into the journal -----------------------------------------------------------------------------------------------

    def _record(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The call as it is kept, and its JSON body. What it makes gets its id here, whether or not it will be kept."""
        record: dict[str, Any] = {"m": self.method, "p": self.path}
        headers = {k: v for k, v in (self.kwargs.get("extra_headers") or {}).items() if k.lower().startswith(("content-", "x-mlflow-"))}
        if headers:
            record["h"] = headers
        body = self.kwargs.get("json")
        if isinstance(body, dict):
            if self.lane.ids:
                body = json.loads(self.lane.rename(json.dumps(body)))
            own = calls.own_id(self.name, body)
            if own:
                record["o"] = own
                body = calls.with_id(self.name, body, own)
                if self.name == "runs/create" and self.settings.heartbeat:
                    body["lazward_heartbeat"] = max(int(self.settings.heartbeat), 1)
            self.kwargs["json"] = record["b"] = body
            return record, body
        data = self.kwargs.get("data")
        if hasattr(data, "read"):
            record["z"] = 0
        elif data is not None:
            record["d"] = base64.b64encode(data.encode() if isinstance(data, str) else bytes(data)).decode()
        return record, {}

    def _keep(self, record: dict[str, Any], body: dict[str, Any], reason: str) -> Any:
        try:
            if "z" in record:
                data = self.kwargs["data"]
                data.seek(0)
                self.lane.keep_file(record, data, reason)
            else:
                self.lane.keep(record, reason)
        except Full as full:
            raise _error(f"{self.lane.base} does not answer ({reason}), and {self.name} could not be kept either: {full}") from None
        return self._kept(record, body)

    def _kept(self, record: dict[str, Any], body: dict[str, Any]) -> Any:
        answer = self.lane.known.log(self.name, body, record.get("o"))
        self._beat(body, record)
        return _response(self.lane.base + self.path, 200, answer)

    def _beat(self, body: dict[str, Any], record: dict[str, Any]) -> None:
        if self.name == "runs/create":
            self.spool.heart.begin(self.lane, record.get("o") or "")
        elif self.name == "runs/update":
            self.spool.heart.update(self.lane, str(body.get("run_id") or ""), body.get("status"))


class _Outage(Exception):
    """unheard: the server has certainly not begun the call, so that saying it again is not saying it twice."""

    def __init__(self, reason: str, error: Exception | None = None, answer: Any = None):
        super().__init__(reason)
        self.reason, self.error, self.answer = reason, error, answer
        self.unheard = answer is not None or "refused" in reason.lower() or "not known" in reason or "unreachable" in reason.lower()

    def give(self) -> Any:
        """To the caller, as MLflow would have: the answer, or the error."""
        if self.answer is not None:
            return self.answer
        assert self.error
        raise self.error


def _response(url: str, status: int, value: dict[str, Any]) -> Any:
    import requests

    made = requests.Response()
    made.status_code, made.url, made.encoding = status, url, "utf-8"
    made.headers["Content-Type"] = "application/json"
    made._content = json.dumps(value).encode()
    return made


def _error(text: str) -> Exception:
    from mlflow.exceptions import MlflowException

    return MlflowException(f"lazward: {text}")


def artifact_path(root: str, path: str) -> str:
    """Where a file of a run or logged model is put, by the address that every server of MLflow has."""
    return f"{calls.ARTIFACTS}{quote(root)}/artifacts/{quote(path)}"
