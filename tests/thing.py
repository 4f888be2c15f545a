"""A resource of any type in the REGISTRY, to be made and driven: what the tests over all types share."""

from __future__ import annotations

from typing import Any

import lazward.apps.control  # noqa: F401 - fills REGISTRY and ACTIONS
from lazward.contract.ids import ML
from lazward.domain.resource import REGISTRY
from tests.control_plane import Answer, Plane, versioned
from tests.make import KINDS, Kind, item_id, parent_of, set_at

DECLARED = sorted(d.path for d in REGISTRY.values() if d.provider == ML)
PATHS = [path for path in DECLARED if path in KINDS]


class Thing:
    """One resource of a type, to be made."""

    def __init__(self, plane: Plane, path: str):
        self.plane = plane
        self.kind: Kind = KINDS[path]
        self.declared = self.kind.declared
        self.parent = parent_of(plane, path)
        self.id = item_id(plane, path, self.parent)
        self.body = self.kind.body(self.parent)

    @property
    def collection(self) -> str:
        return self.id.rsplit("/", 1)[0]

    @property
    def name(self) -> str:
        return self.id.rsplit("/", 1)[1]

    def made(self) -> dict[str, Any]:
        out = self.plane.put(self.id, self.body)
        self.plane.settle()
        return out

    def another(self) -> Thing:
        other = Thing.__new__(Thing)
        other.plane, other.kind, other.declared, other.parent = self.plane, self.kind, self.declared, self.parent
        other.id = item_id(self.plane, self.kind.path, self.parent)
        other.body = self.kind.body(self.parent)
        return other

    def changed(self) -> dict[str, Any]:
        return set_at(self.body, *self.kind.change)

    def send(self, method: str, body: Any = None, **more: Any) -> Answer:
        return self.plane.send(method, versioned(self.id), body, **more)
