"""What a type does beyond its declaration: effects in the transaction of a write, secrets put away, and actions (POST .../verb). The modules
actions_*.py register them here by decorator; the engine looks them up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from lazward.apps.chain import Context
from lazward.contract.ids import ML, ResourceId
from lazward.domain.resource import Doc, ResourceType, WriteContext
from lazward.storage.db import Tx
from lazward.storage.resources import Row


@dataclass(frozen=True)
class Target:
    """What a path points at: an item, a collection (rid.name == "") or an action on an item (verb)."""

    declared: ResourceType
    rid: ResourceId
    verb: str = ""


@dataclass
class Call:
    """An action on an existing resource, after the access check."""

    ctx: Context
    target: Target
    row: Row
    body: Any

    @property
    def key(self) -> str:
        return self.row.key


Sealing = Callable[[Tx, str, Doc, Doc | None, WriteContext], None]
Written = Callable[[Tx, Row, Doc | None, WriteContext], None]
Deleting = Callable[[Tx, Row, WriteContext], None]
Action = Callable[[Call], Awaitable[Response]]

SEALING: dict[str, Sealing] = {}
WRITTEN: dict[str, Written] = {}
DELETING: dict[str, list[Deleting]] = {}
ACTIONS: dict[tuple[str, str], Action] = {}
ACTION_RIGHTS: dict[tuple[str, str], str] = {}


def sealing(path: str, provider: str = ML) -> Callable[[Sealing], Sealing]:
    """Registers what takes the secrets out of a document of the type before it is stored, in the same transaction: fn(tx, key, new,
    old, ctx). A database keeps what was written over for a while, so a secret must not come into the table of documents at all (S16)."""

    def register(fn: Sealing) -> Sealing:
        SEALING[f"{provider}/{path}".lower()] = fn
        return fn

    return register


def written(path: str, provider: str = ML) -> Callable[[Written], Written]:
    """Registers what runs after a document of the type is stored, in the same transaction."""

    def register(fn: Written) -> Written:
        WRITTEN[f"{provider}/{path}".lower()] = fn
        return fn

    return register


def deleting(path: str, provider: str = ML) -> Callable[[Deleting], Deleting]:
    """Registers what runs before a resource of the type goes, in the same transaction; it may refuse. Several run in their order."""

    def register(fn: Deleting) -> Deleting:
        DELETING.setdefault(f"{provider}/{path}".lower(), []).append(fn)
        return fn

    return register


def action(path: str, verb: str, *, right: str = "", provider: str = ML) -> Callable[[Action], Action]:
    """Registers POST {path}/{verb}. right: the RBAC action below the type when it is not "{verb}/action"."""

    def register(fn: Action) -> Action:
        key = (f"{provider}/{path}".lower(), verb.lower())
        ACTIONS[key] = fn
        if right:
            ACTION_RIGHTS[key] = right
        return fn

    return register
