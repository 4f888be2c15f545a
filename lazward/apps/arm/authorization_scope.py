"""The scope in the path of an extension resource."""

from __future__ import annotations

from lazward.apps.chain import Context
from lazward.contract.errors import ArmError
from lazward.contract.ids import parse
from lazward.domain.rbac import ROOT


def scope_of(ctx: Context) -> str:
    """ "/" or the id of a subscription, group or resource, as the client wrote it but without doubled slashes; ArmError 400."""
    text = ctx.params.get("scope", "")
    if not text:
        return ROOT
    rid = parse("/subscriptions/" + text)
    if rid.provider and not rid.name:
        raise ArmError(400, "InvalidScope", f"'{str(rid)[:200]}' is a collection; a scope is '/', a subscription, a group or a resource.", "scope")
    return str(rid)


def subscription_prefix(scope: str) -> str:
    """ "/subscriptions/S" of a scope, "" of "/": where the ids of role definitions are printed under."""
    return "" if scope == ROOT else "/" + "/".join(scope.split("/")[1:3])
