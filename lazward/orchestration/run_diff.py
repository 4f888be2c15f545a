"""What is different between two runs of a workspace, jobs or not: code, packages, inputs, parameters, settings."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from lazward.contract.errors import ArmError, not_found
from lazward.contract.mlflow import MlflowError
from lazward.domain.comparison.jobs import differences, inputs_of, packages_of, settings_of
from lazward.domain.comparison.lines import Budget, unified
from lazward.domain.jobs.source import GIT
from lazward.orchestration.data import ARTIFACTS, account_of, run_folder
from lazward.orchestration.job_ready import LOCK
from lazward.orchestration.run_code import MAX_FILE, Code, File, code_of_run
from lazward.storage import resources, run_search
from lazward.storage.db import Database, Tx
from lazward.storage.resources import Row

MAX_DIFF = 1 << 20  # characters of the whole diff
MAX_READ = 128 << 20  # bytes of all files that are read
MAX_LOCK = 4 << 20
NOWHERE = "/dev/null"


@dataclass
class Side:
    name: str
    job: Row | None
    params: dict[str, str]
    tags: dict[str, str]

    @property
    def facts(self) -> dict[str, Any] | None:
        return self.job.properties if self.job is not None else None


async def compare(db: Database, blobs: Any, workspace: Row, left: str, right: str) -> dict[str, Any]:
    """The answer of `lazwardDiff` (docs/guides/tracking.md). left, right: names of jobs, ids of runs. ArmError 404 names the one that is
    not there."""
    one, other = await db.read(lambda tx: (_side(tx, workspace, left, "left"), _side(tx, workspace, right, "right")))
    codes = [await code_of_run(db, blobs, workspace, side.name, side.facts) for side in (one, other)]
    locks = [await _lock(blobs, workspace, side.name) for side in (one, other)]
    return {
        "left": _shown(one, codes[0]), "right": _shown(other, codes[1]), "code": await _code(codes[0], codes[1], [one, other]),
        "packages": None if None in locks else differences(*(packages_of(lock or "") for lock in locks)),
        "inputs": differences(inputs_of(one.facts or {}), inputs_of(other.facts or {})),
        "parameters": differences(one.params, other.params),
        "settings": differences(settings_of(one.facts or {}), settings_of(other.facts or {})),
    }


def _side(tx: Tx, workspace: Row, name: str, target: str) -> Side:
    job = resources.get(tx, f"{workspace.key}/jobs/{name}")
    try:
        full = run_search.one(tx, workspace.key, job.name if job else name)
    except MlflowError:
        if job is None:
            raise not_found(f"The job or run '{name[:256]}'", target) from None
        return Side(job.name, job, {}, {})  # somebody has purged its run
    return Side(full.run.id, job, dict(full.params), dict(full.tags))


def _shown(side: Side, code: Code) -> dict[str, Any]:
    git = {name.rsplit(".", 1)[-1]: side.tags[name] for name in GIT if side.tags.get(name)}
    name = (side.facts or {}).get("displayName") or side.tags.get("mlflow.runName") or side.name
    return {"name": side.name, "displayName": name, "isJob": side.job is not None, "codeKind": code.kind, "codeId": code.id or None, "git": git}


async def _lock(blobs: Any, workspace: Row, run: str) -> str | None:
    place = (account_of(workspace), ARTIFACTS, f"{run_folder(run)}/{LOCK}")
    info = await blobs.info(*place)
    if info is None or info.size > MAX_LOCK:
        return None
    return (await blobs.read_all(*place)).decode("utf-8", "replace")


async def _code(left: Code, right: Code, sides: list[Side]) -> dict[str, Any]:
    """{comparable, why, identical, of, diff, truncated, added, removed, changed, notShown: [{path, why}]}. identical is None where not all
    could be compared."""
    out: dict[str, Any] = {"comparable": False, "why": "", "identical": None, "of": "files", "diff": "", "truncated": False, "added": [], "removed": [], "changed": [], "notShown": []}
    for code, side in zip((left, right), sides, strict=True):
        if code.kind == "none":
            return out | {"why": f"'{side.name}' cannot be compared: {code.why}."}
    if (left.kind == "patch") != (right.kind == "patch"):
        return out | {"why": "Of one run there are all files, of the other only what differs from its commit."}
    if left.kind == "patch":
        out["of"] = "patches"
        commits = [side.tags.get("mlflow.source.git.commit") for side in sides]
        if commits[0] != commits[1] or not commits[0]:
            out["why"] = f"What differs from their commits is compared, and those are not known to be the same: {commits[0] or 'unknown'} and {commits[1] or 'unknown'}."
    out["comparable"] = True
    if left.id and left.id.lower() == right.id.lower():
        return out | {"identical": True}
    await _compare_files(left, right, out)
    differs = bool(out["added"] or out["removed"] or out["changed"])
    unsure = left.cut or right.cut or any(entry["path"] not in out["changed"] for entry in out["notShown"])
    out["truncated"] = out["truncated"] or left.cut or right.cut
    out["identical"] = False if differs else None if unsure else True
    return out


async def _compare_files(left: Code, right: Code, out: dict[str, Any]) -> None:
    budget, pieces, room, to_read = Budget(), [], MAX_DIFF, MAX_READ
    for path in sorted(left.files.keys() | right.files.keys()):
        old, new = left.files.get(path), right.files.get(path)
        if old and new and old.mark is not None and old.mark == new.mark:
            continue
        if too_large := max(old.size if old else 0, new.size if new else 0) > MAX_FILE:
            known = not (old and new) or old.size != new.size or (old.mark and new.mark)
            if not known:  # neither its size nor a checksum tells
                out["notShown"].append({"path": path, "why": f"larger than {MAX_FILE} bytes; whether it differs is not known"})
                continue
        if not too_large and to_read <= 0:
            out["notShown"].append({"path": path, "why": f"more than {MAX_READ} bytes are compared already; whether it differs is not known"})
            continue
        to_read -= 0 if too_large else sum(file.size for file in (old, new) if file)
        texts = [] if too_large else [await _content(file) for file in (old, new)]
        if old and new and texts and texts[0] == texts[1]:
            continue
        out["added" if not old else "removed" if not new else "changed"].append(path)
        if too_large or room <= 0:
            out["truncated"] = out["truncated"] or not too_large
            out["notShown"].append({"path": path, "why": f"larger than {MAX_FILE} bytes" if too_large else "the diff is cut"})
            continue
        a, b = (_text(content) for content in texts)
        if a is None or b is None:
            out["notShown"].append({"path": path, "why": "not text"})
            continue
        piece = await asyncio.to_thread(unified, a, b, f"a/{path}" if old else NOWHERE, f"b/{path}" if new else NOWHERE, budget)
        if len(piece) > room:
            out["truncated"] = True
            out["notShown"].append({"path": path, "why": "the diff is cut"})
            piece = piece[: piece.rfind("\n", 0, room) + 1]
            room = 0
        room -= len(piece)
        pieces.append(piece)
    out["diff"] = "".join(pieces)


async def _content(file: File | None) -> bytes:
    return await file.read() if file else b""


def _text(content: bytes) -> str | None:
    """None for what is not text."""
    if b"\0" in content[:8000]:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def check_request(body: Any) -> tuple[str, str]:
    """The two names of a request. Raises ArmError 400."""
    if not isinstance(body, dict):
        raise ArmError(400, "InvalidRequestContent", "The request body must be a JSON object: {left, right}, two names of jobs or ids of runs.", "body")
    for member in ("left", "right"):
        value = body.get(member)
        if not isinstance(value, str) or not value or len(value) > 256 or "/" in value:
            raise ArmError(400, "BadRequest", f"'{member}' is the name of a job or the id of a run.", member)
    return body["left"], body["right"]
