"""Role-based access as Azure evaluates it: scopes inherit downwards, a role grants its actions minus its notActions, roles add up.

Patterns: `*` stands for any string, '/' included, without regard to case; '/*/' also stands for a single '/', so that
`workspaces/*/read` grants `workspaces/read` as Microsoft describes the Data Scientist role (docs/decisions/0016-rbac.md).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from lazward.contract.errors import ArmError, bad_request
from lazward.contract.ids import parse

ROOT = "/"
MAX_PATTERNS, MAX_PATTERN = 1000, 256

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PATTERN = re.compile(r"[A-Za-z0-9._*-]+(/[A-Za-z0-9._*-]+)*")


class Permission(msgspec.Struct, frozen=True, rename="camel"):
    """What one entry of a role grants: actions but not notActions; dataActions but not notDataActions."""

    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()


class Role(msgspec.Struct, frozen=True):
    """A role definition. `id` is its guid. Its permissions add up."""

    id: str
    name: str
    description: str = ""
    permissions: tuple[Permission, ...] = ()
    custom: bool = False
    assignable_scopes: tuple[str, ...] = (ROOT,)


class Assignment(msgspec.Struct, frozen=True):
    """A role given to a principal at a scope (a lower-cased resource id; "/" is everything)."""

    id: str
    scope: str
    principal: str
    role: str


# ---- actions ---------------------------------------------------------------------------------------------------------------


def matches(pattern: str, action: str) -> bool:
    """Whether the pattern covers the action. No regular expression: patterns of custom roles come from outside, and this takes
    at most len(pattern) * len(action) steps whatever they are."""
    return _matches(_pieces(pattern), action.lower())


@functools.lru_cache(8192)
def _pieces(pattern: str) -> tuple[tuple[str, int], ...]:
    """The literal text between stars, each with how far it may reach back into the one before: one character for '/*/', where
    the slash before the star and the one after it may be the same."""
    texts = pattern.lower().split("*")
    return tuple((text, int(i > 0 and text.startswith("/") and texts[i - 1].endswith("/"))) for i, text in enumerate(texts))


def _matches(pieces: tuple[tuple[str, int], ...], action: str) -> bool:
    first, last = pieces[0][0], pieces[-1]
    if len(pieces) == 1:
        return action == first
    if not action.startswith(first):
        return False
    at = len(first)
    for text, back in pieces[1:-1]:  # leftmost is right: it leaves the most for what follows
        found = action.find(text, at - back)
        if found < 0:
            return False
        at = found + len(text)
    text, back = last
    return len(action) - len(text) >= at - back and action.endswith(text)


@functools.lru_cache(16384)
def grants(permission: Permission, action: str, data: bool = False) -> bool:
    """Whether this entry by itself grants the action (data: as a dataAction)."""
    yes, no = (permission.data_actions, permission.not_data_actions) if data else (permission.actions, permission.not_actions)
    return any(matches(p, action) for p in yes) and not any(matches(p, action) for p in no)


def effective(role: Role, action: str, data: bool = False) -> bool:
    """Whether the role grants the action. notActions take away within their own entry only."""
    return any(grants(permission, action, data) for permission in role.permissions)


# ---- scopes ----------------------------------------------------------------------------------------------------------------


def normal_scope(scope: str) -> str:
    """The form in which scopes are stored and compared: lower case, one slash in front, none behind; "/" is everything."""
    return "/" + "/".join(part for part in scope.lower().split("/") if part)


def scopes_above(scope: str) -> Iterator[str]:
    """The scope itself and every one above it, down to "/": where an assignment would apply to it."""
    scope = normal_scope(scope)
    while scope != ROOT:
        yield scope
        scope = scope.rsplit("/", 1)[0] or ROOT
    yield ROOT


def within(scope: str, bound: str) -> bool:
    """Whether scope is bound or lies inside it. "" and "/" bound nothing."""
    bound, scope = normal_scope(bound), normal_scope(scope)
    return bound == ROOT or scope == bound or scope.startswith(bound + "/")


def allowed(assignments: Iterable[Assignment], roles: Mapping[str, Role], action: str, scope: str, data: bool = False) -> bool:
    """Whether one of a principal's assignments, at scope or above, grants the action. An unknown role grants nothing."""
    above = set(scopes_above(scope))
    return any(
        effective(roles[given.role], action, data) for given in assignments if given.scope in above and given.role in roles
    )


# ---- custom roles ----------------------------------------------------------------------------------------------------------


def is_guid(text: str) -> bool:
    return _GUID.fullmatch(text) is not None


def custom_role(role_id: str, properties: Any) -> Role:
    """The role of a PUT roleDefinitions body's `properties`; ArmError 400 names what is wrong with it."""
    if not isinstance(properties, dict):
        raise bad_request("The role definition needs 'properties'.", "properties", "InvalidRequestContent")
    name = properties.get("roleName")
    if not isinstance(name, str) or not name.strip() or len(name) > 512 or any(ord(c) < 32 for c in name):
        raise bad_request("A role needs a name of 1 to 512 printable characters.", "properties.roleName", "RoleDefinitionNameNullOrEmpty")
    description = properties.get("description") or ""
    if not isinstance(description, str) or len(description) > 2048:
        raise bad_request("The description is a text of up to 2048 characters.", "properties.description", "InvalidRoleDefinition")
    if str(properties.get("type") or "CustomRole").lower() != "customrole":
        raise bad_request("Only roles of type CustomRole can be written.", "properties.type", "InvalidRoleDefinition")
    permissions = tuple(_permissions(properties.get("permissions")))
    scopes = tuple(_assignable_scopes(properties.get("assignableScopes")))
    return Role(role_id.lower(), name.strip(), description, permissions, True, scopes)


def _permissions(value: Any) -> Iterator[Permission]:
    if not isinstance(value, list) or not value:
        raise bad_request("A role needs 'permissions', a list of {actions, notActions, dataActions, notDataActions}.", "properties.permissions", "InvalidRoleDefinition")
    count = 0
    for index, entry in enumerate(value):
        at = f"properties.permissions[{index}]"
        if not isinstance(entry, dict):
            raise bad_request("A permission is an object.", at, "InvalidRoleDefinition")
        lists = {name: _patterns(entry.get(name), f"{at}.{name}") for name in ("actions", "notActions", "dataActions", "notDataActions")}
        count += sum(map(len, lists.values()))
        if count > MAX_PATTERNS:
            raise bad_request(f"A role has at most {MAX_PATTERNS} actions.", "properties.permissions", "InvalidRoleDefinition")
        yield Permission(lists["actions"], lists["notActions"], lists["dataActions"], lists["notDataActions"])


def _patterns(value: Any, target: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise bad_request("Actions are a list of texts.", target, "InvalidActionOrNotAction")
    for text in value:
        if not isinstance(text, str) or len(text) > MAX_PATTERN or not _PATTERN.fullmatch(text):
            raise bad_request(f"'{str(text)[:80]}' does not have the form of an action, as in Microsoft.MachineLearningServices/workspaces/*/read.", target, "InvalidActionOrNotAction")
    return tuple(value)


def _assignable_scopes(value: Any) -> Iterator[str]:
    at = "properties.assignableScopes"
    if not isinstance(value, list) or not value or not all(isinstance(s, str) for s in value):
        raise bad_request("A role needs 'assignableScopes', a list of subscription, group or resource ids.", at, "InvalidRoleDefinition")
    for scope in value:
        if normal_scope(scope) == ROOT:
            raise bad_request("A custom role cannot be assignable at '/'; name a subscription or a management group.", at, "InvalidAssignableScopes")
        try:
            parse(scope)
        except ArmError:
            raise bad_request(f"'{scope[:200]}' is not the id of a subscription, group or resource.", at, "InvalidAssignableScopes") from None
        yield "/" + scope.strip("/")


def may_be_assigned(role: Role, scope: str) -> bool:
    """Whether the role's assignable scopes cover scope."""
    return any(within(scope, bound) for bound in role.assignable_scopes)


# ---- filters of lists ------------------------------------------------------------------------------------------------------


class ListFilter(msgspec.Struct, frozen=True):
    """A parsed $filter. Absent members do not restrict."""

    at_scope: bool = False  # only what is assigned at the scope or above it
    principal: str | None = None
    role_name: str | None = None
    kind: str | None = None  # BuiltInRole | CustomRole


_TERMS: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"atScope\(\s*\)", re.IGNORECASE), "at_scope"),
    (re.compile(r"atScopeAndBelow\(\s*\)", re.IGNORECASE), ""),  # what a list without atScope() shows anyhow
    (re.compile(r"principalId\s+eq\s+'([^']*)'", re.IGNORECASE), "principal"),
    (re.compile(r"assignedTo\(\s*'([^']*)'\s*\)", re.IGNORECASE), "principal"),
    (re.compile(r"roleName\s+eq\s+'((?:[^']|'')*)'", re.IGNORECASE), "role_name"),
    (re.compile(r"type\s+eq\s+'([^']*)'", re.IGNORECASE), "kind"),
)


def parse_filter(text: str | None) -> ListFilter:
    """$filter of roleAssignments and roleDefinitions: terms joined by `and`. ArmError 400 for any other, which must not be ignored."""
    rest, found = (text or "").strip(), {}
    if len(rest) > 2048:
        raise bad_request("The $filter is too long.", "$filter", "UnsupportedFilter")
    while rest:
        for pattern, member in _TERMS:
            if match := pattern.match(rest):
                if member:
                    found[member] = match.group(1).replace("''", "'") if pattern.groups else True
                rest = rest[match.end():].lstrip()
                break
        else:
            raise bad_request(f"The $filter is not understood at '{rest[:60]}'.", "$filter", "UnsupportedFilter")
        if rest:
            joined = re.match(r"and\s+", rest, re.IGNORECASE)
            if not joined:
                raise bad_request(f"The $filter is not understood at '{rest[:60]}'.", "$filter", "UnsupportedFilter")
            rest = rest[joined.end():]
    return msgspec.convert(found, ListFilter)
