"""Role-based access as Azure evaluates it: scopes inherit downwards, a role grants its actions minus its notActions, roles add up.

Patterns: `*` stands for any string, '/' included, without regard to case; '/*/' also stands for a single '/', so that
`workspaces/*/read` grants `workspaces/read` as Microsoft describes the Data Scientist role (docs/decisions/0016-rbac.md).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator

import msgspec


class Role(msgspec.Struct, frozen=True):
    """A role definition. `id` is its guid."""

    id: str
    name: str
    description: str = ""
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()
    custom: bool = False


class Assignment(msgspec.Struct, frozen=True):
    """A role given to a principal at a scope (a lower-cased resource id; "/" is everything)."""

    id: str
    scope: str
    principal: str
    role: str


@functools.lru_cache(4096)
def _pattern(text: str) -> re.Pattern[str]:
    pieces = []
    rest = text.lower()
    while rest:
        if rest.startswith("/*/"):
            pieces.append("/(?:.*/)?")
            rest = rest[3:]
        elif rest[0] == "*":
            pieces.append(".*")
            rest = rest[1:]
        else:
            pieces.append(re.escape(rest[0]))
            rest = rest[1:]
    return re.compile("".join(pieces), re.DOTALL)


def matches(pattern: str, action: str) -> bool:
    return _pattern(pattern).fullmatch(action.lower()) is not None


@functools.lru_cache(16384)
def grants(role: Role, action: str, data: bool = False) -> bool:
    """Whether the role by itself grants the action (data: as a dataAction)."""
    yes, no = (role.data_actions, role.not_data_actions) if data else (role.actions, role.not_actions)
    return any(matches(p, action) for p in yes) and not any(matches(p, action) for p in no)


def scopes_above(scope: str) -> Iterator[str]:
    """The scope itself and every one above it, down to "/": where an assignment would apply to it."""
    scope = "/" + scope.strip("/").lower()
    while scope != "/":
        yield scope
        scope = scope.rsplit("/", 1)[0] or "/"
    yield "/"


def within(scope: str, bound: str) -> bool:
    """Whether scope is bound or lies inside it. "" bounds nothing."""
    bound = bound.rstrip("/").lower()
    scope = scope.rstrip("/").lower()
    return not bound or scope == bound or scope.startswith(bound + "/")


def allowed(roles: Iterable[Role], action: str, data: bool = False) -> bool:
    return any(grants(role, action, data) for role in roles)
