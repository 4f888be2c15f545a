"""Sends a journal to its server: in order, metrics in batches, each call until it is answered. What the server refuses is kept with the reason.

All that is sent may be sent again: after a kill it goes on at the last place that was noted, and the server takes twice for once.
"""

from __future__ import annotations

import base64
import json
import os

from lazward_mlflow import calls
from lazward_mlflow.journal import read
from lazward_mlflow.senders import UNREADY, Away, Forbidden

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lazward_mlflow.places import Place

MAX_METRICS, MAX_PARAMS, MAX_TAGS, MAX_BYTES = 1000, 100, 100, 900_000  # of one batch
WINDOW = 20_000  # calls that are merged before the place is noted
FAULTS = 5  # times that one and the same call makes the server fail, before it is the call's fault


class Batch:
    """Calls about one run that make one runs/log-batch."""

    def __init__(self, path: str):
        self.path = path
        self.records: list[dict[str, Any]] = []
        self.metrics: list[Any] = []
        self.params: dict[str, Any] = {}
        self.tags: dict[str, Any] = {}
        self.bytes = 0

    def add(self, record: dict[str, Any]) -> bool:
        """False when it does not fit: the batch is to be sent first."""
        metrics, params, tags = parts(record)
        size = len(json.dumps(record["b"]))
        if self.records and (
            len(self.metrics) + len(metrics) > MAX_METRICS or len(self.params) + len(params) > MAX_PARAMS or len(self.tags) + len(tags) > MAX_TAGS
            or len(self.metrics) + len(metrics) + len(self.params) + len(params) + len(self.tags) + len(tags) > MAX_METRICS
            or self.bytes + size > MAX_BYTES or any(self.params.get(p["key"], p).get("value") != p.get("value") for p in params)
        ):
            return False
        self.records.append(record)
        self.metrics += metrics
        self.params.update({p["key"]: p for p in params})
        self.tags.update({t["key"]: t for t in tags})
        self.bytes += size
        return True

    def body(self, run_id: str) -> dict[str, Any]:
        named = {"metrics": self.metrics, "params": list(self.params.values()), "tags": list(self.tags.values())}
        return {"run_id": run_id, **{k: v for k, v in named.items() if v}}


def parts(record: dict[str, Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Metrics, params and tags of a call that can be merged."""
    name, body = calls.name_of(record["p"]), record["b"]
    about = {k: v for k, v in body.items() if k not in ("run_id", "run_uuid")}
    if name == "runs/log-metric":
        return [about], [], []
    if name == "runs/log-parameter":
        return [], [about], []
    if name == "runs/set-tag":
        return [], [], [about]
    return list(body.get("metrics") or ()), list(body.get("params") or ()), list(body.get("tags") or ())


class Drain:
    """send: a sender (senders.py). told: called after each answer with the number of calls that it settles."""

    def __init__(self, place: Place, send: Callable[..., tuple[int, bytes]], told: Callable[[int], None] = lambda count: None):
        self.place = place
        self.send = send
        self.told = told
        self.state = place.state()
        self.sent, self.refused, self.bytes = 0, 0, 0
        self._missed = False

    @property
    def at(self) -> int:
        return self.state["at"]

    @property
    def ids(self) -> dict[str, str]:
        return self.state["ids"]

    def begin_anew(self) -> None:
        """The journal was emptied. What things are called stays known."""
        self.state["at"] = 0
        self.place.save(self.state)

    def run(self) -> None:
        """Until the end of the journal. Raises Away or Forbidden, and can then be called again."""
        try:
            self._run(alone=self.state.get("faults", {}).get(str(self.at), 0) >= FAULTS)
        except Away as away:
            if away.status in (500, 501):
                before = self.state.get("faults", {}).get(str(self.at), 0)
                self.state["faults"] = {str(self.at): before + 1}
                self.place.save(self.state)
            raise

    def _run(self, alone: bool) -> None:
        batches: dict[tuple[str, str], Batch] = {}
        count, after = 0, self.at
        for place, record in read(self.place.journal, self.at):
            before, after = after, place
            count += 1
            if record is None:
                self._refuse({}, 0, f"the line before byte {after} of the journal is damaged")
                continue
            name = calls.name_of(record["p"])
            if not alone and name in calls.BATCHED and isinstance(record.get("b"), dict) and _well_formed(record):
                run_id = str(record["b"].get("run_id") or record["b"].get("run_uuid") or "")
                key = (record["p"].rpartition("/runs/")[0].replace("/preview/", "/"), run_id)
                batch = batches.setdefault(key, Batch(key[0] + "/runs/log-batch"))
                if not batch.add(record):
                    self._send_batch(run_id, batches.pop(key))
                    batches[key] = Batch(batch.path)
                    batches[key].add(record)
                if count < WINDOW:
                    continue
                record = None
            self._send_all(batches)
            if count > 1 and record is not None:
                self._reached(before)
            kept = record is not None and not self._send_one(record, last=alone)
            self._reached(after)
            if record is not None and not kept:  # not before the place is noted: it would be missed if we were killed here
                self._remove_file(record)
            count = 0
        self._send_all(batches)
        if count:
            self._reached(after)
        if self._missed:
            self._second_chance()

    def _second_chance(self) -> None:
        """What threads log side by side is kept in the order in which they came to it: what something was said about may be made by a
        later call. So what was not found is looked for once more, at the end."""
        waiting, left = self.place.refused(), []
        try:
            while waiting:
                one = waiting[0]
                if one["status"] != 404 or self._settle(one["call"]) is not None:
                    left.append(one)
                else:
                    self.refused -= 1
                    self._remove_file(one["call"])
                waiting.pop(0)
        finally:
            self.place.keep_refused(left + waiting)
        self._missed = False

    def _reached(self, after: int) -> None:
        self.state["at"] = after
        self.place.save(self.state)

    # ---- one call -------------------------------------------------------------------------------------------------------

    def _send_all(self, batches: dict[tuple[str, str], Batch]) -> None:
        for (_, run_id), batch in batches.items():
            self._send_batch(run_id, batch)
        batches.clear()

    def _send_batch(self, run_id: str, batch: Batch) -> None:
        if len(batch.records) == 1:
            self._send_one(batch.records[0])
            return
        status, _ = self._say("POST", batch.path, batch.body(run_id))
        if status < 300:
            self._done(len(batch.records))
            return
        for record in batch.records:  # one of them is refused: the others need not be
            self._send_one(record)

    def _send_one(self, record: dict[str, Any], last: bool = False) -> bool:
        """False when it was refused. last: the server has failed at it often enough."""
        refusal = self._settle(record, last)
        return refusal is None or self._refuse(record, *refusal)

    def _settle(self, record: dict[str, Any], last: bool = False) -> tuple[int, str] | None:
        """None when it is done, else the status and the reason of the refusal."""
        name = calls.name_of(record["p"])
        path = self._rename(record["p"])
        try:
            if "f" in record:
                status, answer = self._send_file(record, path)
            elif "d" in record:
                status, answer = self._answer(self.send(record["m"], path, base64.b64decode(record["d"]), record.get("h") or {}))
            else:
                status, answer = self._say(record["m"], path, record.get("b"), record.get("h"))
        except Away as away:
            if not last or away.status not in (500, 501) or not self._is_well():
                raise
            self.state.pop("faults", None)
            return away.status, f"the server fails at it, and at nothing else: {away}"
        if status < 300:
            self._named(record, name, answer)
        elif not self._is_done(record, name, status, answer):
            return status, answer.decode("utf-8", "replace")
        self._done(1)
        return None

    def _send_file(self, record: dict[str, Any], path: str) -> tuple[int, bytes]:
        local = os.path.join(self.place.files, os.path.basename(str(record["f"])))  # whoever wrote the journal: nothing but its own files
        try:
            file = os.fdopen(os.open(local, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb")
        except OSError as error:
            return 410, f"the file {local} is gone: {error.strerror}".encode()
        with file:
            size = os.fstat(file.fileno()).st_size
            if size != record["z"]:
                return 410, f"the file {local} has {size} bytes, not the {record['z']} that were kept".encode()
            status, answer = self._answer(self.send(record["m"], path, file if size else b"", record.get("h") or {}, size))
        if status < 300:
            self.bytes += size
        return status, answer

    def _remove_file(self, record: dict[str, Any]) -> None:
        try:
            if "f" in record:
                os.unlink(os.path.join(self.place.files, os.path.basename(str(record["f"]))))
        except OSError:
            pass

    def _say(self, method: str, path: str, body: Any, headers: Any = None) -> tuple[int, bytes]:
        raw = None if body is None else self._rename(json.dumps(body)).encode()
        return self._answer(self.send(method, path, raw, {"Content-Type": "application/json", **(headers or {})}))

    @staticmethod
    def _answer(answer: tuple[int, bytes]) -> tuple[int, bytes]:
        status, body = answer
        if status in UNREADY:
            raise Away(f"it answers {status}: {body[:200].decode('utf-8', 'replace')}", status)
        if status in (401, 403):
            raise Forbidden(f"it answers {status}, and nothing is dropped for that: {body[:300].decode('utf-8', 'replace')}")
        if 300 <= status < 400:
            raise Away(f"it answers {status}, a redirect, which is not followed", status)
        return status, body

    def _is_well(self) -> bool:
        """Whether the server does other things all the same."""
        try:
            return self._say("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", None)[0] < 500
        except (Away, Forbidden):
            return False

    # ---- answers --------------------------------------------------------------------------------------------------------

    def _named(self, record: dict[str, Any], name: str, answer: bytes) -> None:
        """A server that does not let us choose ids has called it something else."""
        own = record.get("o")
        if not own:
            return
        try:
            made = calls.made_id(name, json.loads(answer))
        except ValueError:
            made = None
        if made and made != own:
            self.ids[own] = made

    def _is_done(self, record: dict[str, Any], name: str, status: int, answer: bytes) -> bool:
        """Whether a refusal only says that it was done before."""
        if name == "runs/delete-tag":
            return status == 404
        if b"RESOURCE_ALREADY_EXISTS" not in answer:
            return False
        if name == "experiments/create":
            from urllib.parse import quote

            path = record["p"].replace("experiments/create", "experiments/get-by-name")
            status, found = self._say("GET", f"{path}?experiment_name={quote(record['b']['name'], safe='')}", None)
            if status < 300:
                there = json.loads(found)["experiment"]["experiment_id"]
                if there != record["o"]:
                    self.ids[record["o"]] = there
                return True
        if name == "runs/create":
            path = record["p"].replace("runs/create", "runs/get")
            return self._say("GET", f"{path}?run_id={record['o']}", None)[0] < 300
        return name.endswith("/assessments")

    def _done(self, count: int) -> None:
        self.sent += count
        self.state["sent"] = self.state.get("sent", 0) + count
        self.told(count)

    def _refuse(self, record: dict[str, Any], status: int, reason: str) -> bool:
        self.place.reject(record, status, reason)
        self._missed = self._missed or status == 404
        self.refused += 1
        self.told(1)
        return False

    def _rename(self, text: str) -> str:
        for own, there in self.ids.items():
            text = text.replace(own, there)
        return text


def _well_formed(record: dict[str, Any]) -> bool:
    """Whether it can be merged: what is odd is sent as it is, for the server to judge."""
    try:
        return all(isinstance(item, dict) and isinstance(item["key"], str) for kind in parts(record) for item in kind)
    except (KeyError, TypeError):
        return False
