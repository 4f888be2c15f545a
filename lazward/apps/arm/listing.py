"""GET of a collection: paging, listViewType, filters. A caller who may not read a whole scope sees what is theirs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from starlette.responses import Response

from lazward.apps.arm.documents import document
from lazward.apps.arm.targets import first_missing
from lazward.apps.chain import Context, json_response
from lazward.contract.envelope import decode_token, encode_token
from lazward.contract.errors import bad_request
from lazward.contract.ids import ResourceId
from lazward.domain.resource import Doc, ResourceType
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row

PAGE, MAX_PAGE = 100, 1000
_ORDER = re.compile(r"(?:createdtime|createdat|creationtime|systemdata/createdat)(?:\s+(asc|desc))?")
VIEWS = {"ActiveOnly": False, "ArchivedOnly": True, "All": None}


async def collection(ctx: Context, declared: ResourceType, rid: ResourceId) -> Response:
    query = ctx.query
    limit = _page_size(query.get("$top") or query.get("top") or query.get("count") or query.get("maxResults"))
    views = declared.views or VIEWS
    asked = query.get("listViewType") or next(iter(views))
    view = next((name for name in views if name.lower() == asked.lower()), "")
    if not view:
        raise bad_request(f"listViewType is one of {', '.join(views)}, not '{asked[:40]}'.", "listViewType")
    newest = _newest_first(declared, query.get("$orderBy") or query.get("orderBy"))
    token = query.get("$skip") or query.get("$skipToken") or query.get("skip")
    after = None if token in (None, "", "0") else decode_token(token)
    keep = _predicate(declared, dict(query), view)
    lookup = query.get("hash") if declared.path.endswith("codes/versions") else None
    where: dict[str, Any] = {"parent": rid.parent.key}
    if lookup is not None:
        # A client names a fresh code asset on every submit and asks by content: the whole workspace is searched, whatever the name.
        where = {"scope": rid.workspace.key, "lookup": lookup}
    elif len(rid.segments) == 1 and not rid.group:
        where = {"under": rid.parent.key}

    # A list that shows nothing says no more than that: whether a place is there is told to who may know it.
    told = len(rid.segments) > 1 or await ctx.may("Microsoft.Resources/subscriptions/resourceGroups/read", str(rid.parent))
    # A version's container is made with the first version, so before that its list is empty; clients count on it.
    place = rid.parent.parent if declared.versions else rid.parent

    def load(tx: Tx, after: int | None) -> tuple[list[Row], int | None]:
        if told and (missing := first_missing(tx, place)):
            raise missing
        archived = VIEWS[view] if declared.archivable else None
        return resources.page(tx, declared.key, limit, newest_first=newest, after=after, archived=archived, keep=keep, **where)

    rows, more = await ctx.db.read(load, after)
    if len(rid.segments) == 1 or lookup is not None:  # beyond the place that the caller was asked about
        rows = await _allowed(ctx, declared, rows)
        while more is not None and not rows:  # clients that look at one page must not take another's resources for none
            rows, more = await ctx.db.read(load, more)
            rows = await _allowed(ctx, declared, rows)
    body: Doc = {"value": [document(declared, row) for row in rows]}
    if more is not None:
        params = [(k, v) for k, v in query.multi_items() if k not in ("$skip", "$skipToken", "skip")]
        path = quote(ctx.request.scope["path"])
        body["nextLink"] = f"{ctx.services.base_url}{path}?{urlencode([*params, ('$skip', encode_token(more))])}"
    return json_response(body)


async def _allowed(ctx: Context, declared: ResourceType, rows: list[Row]) -> list[Row]:
    return [row for row in rows if await ctx.may(declared.action("read"), row.id)]


def _newest_first(declared: ResourceType, order: str | None) -> bool:
    """"createdtime desc" and its like; creation is the one order there is."""
    if not order:
        return declared.newest_first
    match = _ORDER.fullmatch(order.strip().lower())
    if match is None:
        raise bad_request(f"Lists are ordered by 'createdtime asc' or 'createdtime desc', not '{order[:40]}'.", "$orderBy")
    return match.group(1) == "desc"


def _page_size(text: str | None) -> int:
    if not text:
        return PAGE
    if not text.isdecimal() or int(text[:9]) == 0:
        raise bad_request(f"The page size is a positive number, not '{text[:40]}'.", "$top")
    return min(int(text[:9]), MAX_PAGE)


def _predicate(declared: ResourceType, query: dict[str, str], view: str) -> Callable[[Row], bool] | None:
    tests: list[Callable[[Row], bool]] = []
    if declared.views:
        shows = declared.views[view]
        tests.append(lambda row: shows(row.doc))
    for name in ("tags", "tag", "properties"):
        if value := query.get(name):
            wanted = [part.partition("=") for part in value.split(",") if part]
            member = "properties" if name == "properties" else "tags"
            tests.append(lambda row, wanted=wanted, member=member: _has(row.properties.get(member) or row.doc.get(member) or {}, wanted))
    for name, match in declared.matches.items():
        if value := query.get(name):
            tests.append(lambda row, match=match, value=value: match({**row.doc, "name": row.name}, value))
    return (lambda row: all(test(row) for test in tests)) if tests else None


def _has(facts: dict[str, Any], wanted: list[tuple[str, str, str]]) -> bool:
    return isinstance(facts, dict) and all(k in facts and (not eq or _text(facts[k]) == v) for k, eq, v in wanted)


def _text(value: Any) -> str:
    """As a query spells it: true, not True."""
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
