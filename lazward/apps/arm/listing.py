"""GET of a collection: paging, listViewType, filters. A caller who may not read a whole scope sees what is theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from lazward.apps.arm.documents import document
from lazward.apps.chain import Context, json_response
from lazward.contract.envelope import decode_token, encode_token
from lazward.contract.errors import bad_request, not_found
from lazward.contract.ids import ResourceId
from lazward.domain.resource import Doc, ResourceType
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row

PAGE, MAX_PAGE = 100, 1000
VIEWS = {"activeonly": False, "archivedonly": True, "all": None}


async def collection(ctx: Context, declared: ResourceType, rid: ResourceId) -> Response:
    query = ctx.query
    limit = _page_size(query.get("$top") or query.get("top") or query.get("count") or query.get("maxResults"))
    view = (query.get("listViewType") or "ActiveOnly").lower()
    if view not in VIEWS:
        raise bad_request(f"listViewType is one of ActiveOnly, ArchivedOnly, All, not '{view[:40]}'.", "listViewType")
    order = (query.get("$orderBy") or query.get("orderBy") or "").lower()
    newest = declared.newest_first or "desc" in order
    if "asc" in order.split():
        newest = False
    token = query.get("$skip") or query.get("$skipToken") or query.get("skip")
    after = None if token in (None, "", "0") else decode_token(token)
    keep = _predicate(declared, dict(query))
    lookup = query.get("hash") if declared.path.endswith("codes/versions") else None
    where: dict[str, Any] = {"parent": rid.parent.key}
    if lookup is not None:
        # A client names a fresh code asset on every submit and asks by content: the whole workspace is searched, whatever the name.
        where = {"scope": rid.workspace.key, "lookup": lookup}
    elif len(rid.segments) == 1 and not rid.group:
        where = {"under": rid.parent.key}

    def load(tx: Tx) -> tuple[list[Row], int | None]:
        if len(rid.segments) > 1 and lookup is None and not resources.exists(tx, rid.workspace.key):
            raise not_found(f"The {rid.workspace.full_type} '{rid.workspace.name}'")
        archived = VIEWS[view] if declared.archivable else None
        return resources.page(tx, declared.key, limit, newest_first=newest, after=after, archived=archived, keep=keep, **where)

    rows, more = await ctx.db.read(load)
    if len(rid.segments) == 1:
        rows = [row for row in rows if await ctx.may(f"{declared.provider}/{declared.path}/read", row.id)]
    body: Doc = {"value": [document(declared, row) for row in rows]}
    if more is not None:
        params = {k: v for k, v in query.items() if k not in ("$skip", "$skipToken", "skip")}
        path = ctx.request.scope["path"]
        body["nextLink"] = f"{ctx.services.base_url}{path}?{urlencode({**params, '$skip': encode_token(more)})}"
    return json_response(body)


def _page_size(text: str | None) -> int:
    if not text:
        return PAGE
    if not text.isdecimal() or int(text[:9]) == 0:
        raise bad_request(f"The page size is a positive number, not '{text[:40]}'.", "$top")
    return min(int(text[:9]), MAX_PAGE)


def _predicate(declared: ResourceType, query: dict[str, str]) -> Callable[[Row], bool] | None:
    tests: list[Callable[[Row], bool]] = []
    for name in ("tags", "tag", "properties"):
        if value := query.get(name):
            wanted = [part.partition("=") for part in value.split(",") if part]
            member = "properties" if name == "properties" else "tags"
            tests.append(lambda row, wanted=wanted, member=member: _has(row.properties.get(member) or row.doc.get(member) or {}, wanted))
    for name, match in declared.matches.items():
        if value := query.get(name):
            tests.append(lambda row, match=match, value=value: match(row.doc, value))
    return (lambda row: all(test(row) for test in tests)) if tests else None


def _has(facts: dict[str, Any], wanted: list[tuple[str, str, str]]) -> bool:
    return all(k in facts and (not eq or str(facts[k]) == v) for k, eq, v in wanted)
