"""From a path to what it points at: the declared type, the canonical id, and what of it is missing."""

from __future__ import annotations

from lazward.apps.arm.hooks import ACTION_RIGHTS, ACTIONS, Target
from lazward.contract.errors import ArmError, bad_request, not_found, not_implemented
from lazward.contract.ids import ResourceId, check_name
from lazward.domain.resource import REGISTRY, ResourceType
from lazward.storage import resources
from lazward.storage.db import Tx

RIGHTS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}


def resolve(rid: ResourceId) -> Target:
    """The declared type a path belongs to, its segments in canonical case; 400/501 when there is none."""
    if rid.scope:
        # None of our types extends another. An id below another one's would be checked at the outer place and act on the inner (S5).
        raise bad_request(f"A resource of type '{rid.full_type[:200]}' lies in a resource group, not below another resource.", "id", "InvalidResourceId")
    if rid.segments and rid.name and not rid.group:
        raise bad_request(f"A resource of type '{rid.full_type[:200]}' lies in a resource group, which its id must name.", "id", "InvalidResourceId")
    declared = REGISTRY.get(rid.full_type.lower())
    if declared:
        return Target(declared, _canonical(rid, declared))
    if rid.segments and not rid.name and len(rid.segments) > 1:
        above = REGISTRY.get(rid.parent.full_type.lower())
        if above:
            verb = rid.segments[-1][0].lower()
            if (above.key, verb) in ACTIONS:
                return Target(above, _canonical(rid.parent, above), verb)
            raise not_implemented(f"'{rid.segments[-1][0]}' on {above.provider}/{above.path}")
    raise not_implemented(f"The resource type '{rid.full_type}'")


def _canonical(rid: ResourceId, declared: ResourceType) -> ResourceId:
    kinds = declared.path.split("/")
    segments = tuple((kind, name) for kind, (_, name) in zip(kinds, rid.segments, strict=True))
    for _, name in segments[:-1]:
        check_name(name)
    return ResourceId(rid.subscription, rid.group, declared.provider, segments, rid.scope)


def methods_of(target: Target) -> tuple[str, ...]:
    """The verbs that what a path points at knows."""
    if target.verb:
        return ("POST",)
    if not target.rid.name:
        return ("GET",)
    declared = target.declared
    return ("GET", "HEAD", *(("PUT",) if not declared.managed else ()), *(("PATCH",) if declared.patchable and not declared.managed else ()), "DELETE")


def check_method(target: Target, method: str) -> None:
    """Raises ArmError 405."""
    known = methods_of(target)
    if method not in known:
        allow = ", ".join(sorted(known))
        raise ArmError(405, "MethodNotAllowed", f"The method {method} is not supported for this resource; {allow} are.", headers={"Allow": allow})


def right_of(target: Target, method: str) -> str:
    """The RBAC action that a verb on the target takes."""
    if target.verb:
        return target.declared.action(ACTION_RIGHTS.get((target.declared.key, target.verb), f"{target.verb}/action"))
    return target.declared.action(RIGHTS[method])


def first_missing(tx: Tx, rid: ResourceId, *, parent: bool = False) -> ArmError | None:
    """404 that names the first piece of the path that is not there; None when all are. parent: rid is asked about for something
    that is to be made below it."""
    if not resources.exists(tx, f"/subscriptions/{rid.subscription}"):
        return not_found(f"The subscription '{rid.subscription}'", code="SubscriptionNotFound")
    if rid.group and not resources.exists(tx, f"/subscriptions/{rid.subscription}/resourcegroups/{rid.group}"):
        return not_found(f"Resource group '{rid.group}'", code="ResourceGroupNotFound")
    for depth in range(1, len(rid.segments) + 1):
        piece = ResourceId(rid.subscription, rid.group, rid.provider, rid.segments[:depth], rid.scope)
        if not resources.exists(tx, piece.key):
            where = f" under resource group '{rid.group}'" if depth == 1 else ""
            code = "ParentResourceNotFound" if parent and depth > 1 else "ResourceNotFound"
            return not_found(f"The resource {piece.provider}/{piece.type_path} '{piece.name}'{where}", piece.name, code)
    return None
