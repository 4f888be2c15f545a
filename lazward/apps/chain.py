"""The one list every request passes: host check, origin check, routing, limits, authentication, access, errors, metrics.

A surface declares its routes with an Access; a route without one cannot be built, and a request that no access check has let
through gets no answer but 403, whatever the handler returned. The order of the steps is the code of `Chain.handle`.
"""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lazward.apps.http_server import WHOLE
from lazward.apps.request_body import RequestBody
from lazward.apps.request_metrics import REQUESTS
from lazward.apps.services import Services
from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError, as_arm_error, bad_request, forbidden
from lazward.contract.json_body import read_json
from lazward.domain.audiences import takes
from lazward.domain.blobs.names import account_in_host
from lazward.storage.db import DatabaseAway

log = logging.getLogger("lazward.http")

_PLAIN_ID = re.compile(r"[A-Za-z0-9_.:/+=|{}-]{1,256}")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{0,5})?")

_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-cache"), (b"strict-transport-security", b"max-age=31536000; includeSubDomains"))

_HOSTS_MAX = 1024
_BREAK = re.compile(rb"[\r\n]")

DEFAULT_MAX_BODY = 8 * 1024 * 1024


class Context:
    """One request on its way through the chain. `params` are the pattern's values; `caller` is set once authenticated."""

    __slots__ = ("_allowed", "_body", "_caller", "_head", "correlation", "params", "request", "request_id", "route", "services")

    def __init__(self, request: Request, services: Services, route: Route, params: dict[str, str], head: dict[bytes, bytes]):
        """head: the first value of each header."""
        self.request = request
        self._head = head
        self.services = services
        self.route = route
        self.params = params
        self.request_id = _new_guid()
        given = head.get(b"x-ms-correlation-request-id", b"").decode("latin-1")  # by the client
        self.correlation = given if given and _PLAIN_ID.fullmatch(given) else self.request_id  # it goes into logs, the audit and the answer
        self._allowed = False
        self._caller: Caller | None = None
        self._body = RequestBody(request.receive, route.max_body, head.get(b"content-length", b""))

    @property
    def db(self):
        return self.services.db

    @property
    def query(self):
        return self.request.query_params

    @property
    def now(self) -> float:
        return self.services.now()

    async def authenticate(self) -> Caller:
        """The caller of a bearer token; ArmError 401 without one."""
        if self._caller is None:
            self._caller = await self.authenticated_by(self._head.get(b"authorization", b"").decode("latin-1"))
        return self._caller

    async def authenticated_by(self, authorization: str | None) -> Caller:
        """The caller of a bearer token of this or another header, which must be made for this surface; decides nothing about the request."""
        caller = await self.services.authority.authenticate(authorization)
        if not takes(self.route.surface.name, caller.audience):
            raise ArmError(401, "InvalidAuthenticationTokenAudience", "The access token was made for another service of this server.", "Authorization")
        return caller

    @property
    def caller(self) -> Caller:
        if self._caller is None:
            raise RuntimeError("authenticate() or require() comes before caller")
        return self._caller

    async def may(self, action: str, scope: str, *, data: bool = False) -> bool:
        """Whether the caller has action at scope; decides nothing about this request (for filtering lists)."""
        return await self.services.authority.allowed(await self.authenticate(), action, scope, data=data)

    async def require(self, action: str, scope: str, *, data: bool = False) -> Caller:
        """The access check. 401 without a valid token, 403 without the permission."""
        caller = await self.authenticate()
        if not await self.services.authority.allowed(caller, action, scope, data=data):
            raise forbidden(caller.name or caller.id, action, scope)
        self._allowed = True
        return caller

    def allow(self, why: str, caller: Caller | None = None) -> None:
        """For surfaces with their own proof (a signature on a blob URL, a device code): says what let the request through."""
        if not why:
            raise ValueError("say why")
        self._allowed = True
        if caller is not None:
            self._caller = caller

    @property
    def allowed(self) -> bool:
        return self._allowed

    async def body(self) -> bytes:
        """The whole body, within the route's limit (413 beyond it)."""
        return await self._body.whole()

    def stream(self) -> AsyncIterator[bytes]:
        """The body in pieces, within the route's limit."""
        return self._body.stream()

    async def json(self) -> Any:
        """The body as JSON; {} when empty. ArmError 400 when it is malformed (contract/json_body.py)."""
        return read_json(await self.body())


Handler = Callable[[Context], Awaitable[Response]]


@dataclass(frozen=True)
class Access:
    """How a route is guarded: exactly one of the four makers below."""

    kind: str
    detail: str
    scope: str = ""


def public(why: str) -> Access:
    """Nobody is asked who they are; `why` says what makes that harmless."""
    return Access("public", why)


def signed_in(why: str) -> Access:
    """Any valid token; the handler shows only what the caller may see."""
    return Access("signed_in", why)


def action(name: str, scope: str) -> Access:
    """The permission `name` at `scope`, a template over the pattern's parameters: "/subscriptions/{sub}"."""
    return Access("action", name, scope)


def by_handler(how: str) -> Access:
    """The handler itself calls ctx.require() or ctx.allow(); `how` says what it checks. No check = 403."""
    return Access("handler", how)


@dataclass(frozen=True)
class Surface:
    """A family of routes that words errors the same way."""

    name: str
    render_error: Callable[[Context | None, ArmError], Response]


@dataclass(frozen=True)
class Route:
    """methods: e.g. ("GET", "HEAD"). pattern: "/a/{x}/{rest:path}"; literals match without regard to case; {x:regex} narrows."""

    methods: tuple[str, ...]
    pattern: str
    handler: Handler
    access: Access
    surface: Surface
    max_body: int | None = DEFAULT_MAX_BODY
    regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.access, Access):
            raise TypeError(f"{self.pattern}: a route must say how it is guarded")
        object.__setattr__(self, "regex", _compile(self.pattern))


class Chain:
    """The ASGI application."""

    def __init__(self, services: Services, routes: Iterable[Route], *, fallback: Surface):
        self.services = services
        self.fallback = fallback
        self.routes: Sequence[Route] = tuple(routes)
        self._hosts: dict[bytes, tuple[str, tuple[str, str] | None]] = {}  # Host headers that were read: name, account and endpoint
        self._by_head: dict[str, list[Route]] = {}
        self._anywhere: list[Route] = []
        for route in self.routes:
            head = route.pattern.split("/")[1].lower()
            (self._anywhere if "{" in head else self._by_head.setdefault(head, [])).append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # none is declared, so none is accepted
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            return
        request = Request(scope, receive, send)
        response = await self.handle(request)
        if response is None:
            return
        if type(response) in _WHOLE and response.background is None and (whole := scope.get("extensions", {}).get(WHOLE)) and whole(response.status_code, response.raw_headers, response.body):
            return
        await response(scope, receive, send)

    async def handle(self, request: Request) -> Response | None:
        began = time.perf_counter()
        ctx: Context | None = None
        surface = self.fallback
        # The first value of each header: what is looked at below is looked at in every request, and Starlette's own mapping walks the list
        # for every question.
        head: dict[bytes, bytes] = dict(reversed(request.scope["headers"]))
        try:
            path = self._path(request, head)
            self._check_origin(request, head)
            route, params = self._route(request.method, path)
            surface = route.surface
            ctx = Context(request, self.services, route, params, head)
            response = await self._guarded(ctx)
            if _BREAK.search(b"\0".join([value for _, value in response.raw_headers])):
                # The servers beneath send header lines as they are: a value with a line break would be headers of somebody's choice.
                raise bad_request("A value that goes into a header of the answer holds a line break.", code="InvalidHeaderValue")
        except ArmError as error:
            response = surface.render_error(ctx, error)
        except ClientDisconnect:
            return None
        except DatabaseAway as away:
            response = surface.render_error(ctx, _away(away))
        except Exception as cause:
            correlation = ctx.correlation if ctx else str(uuid.uuid4())
            log.exception("unhandled error: %s %r correlation=%s", request.method, request.scope["path"], correlation)
            message = f"The server met an unexpected condition. Its log has the details under correlation id {correlation}."
            full = isinstance(cause, OSError) and as_arm_error(cause).status == 507
            error = ArmError(507, "InsufficientStorage", f"A disk of the server is full; make room on it and try again. {message}") if full else ArmError(500, "InternalServerError", message)
            response = surface.render_error(ctx, error)
        self._sign(response, ctx, head)
        REQUESTS.add(surface.name, request.method, response.status_code, time.perf_counter() - began)
        return response

    @staticmethod
    def _sign(response: Response, ctx: Context | None, head: dict[bytes, bytes]) -> None:
        """The headers every answer has."""
        sent = response.raw_headers
        there = {name for name, _ in sent}
        if ctx is not None:
            mine = [(b"x-ms-request-id", ctx.request_id.encode()), (b"x-ms-correlation-request-id", ctx.correlation.encode())]
            client_id = head.get(b"x-ms-client-request-id", b"")
            if client_id and _PLAIN_ID.fullmatch(client_id.decode("latin-1")):
                mine.append((b"x-ms-client-request-id", client_id))
            if not there.isdisjoint(name for name, _ in mine):
                taken = {name for name, _ in mine}
                sent[:] = [pair for pair in sent if pair[0] not in taken]
            sent += mine
        sent += [pair for pair in _ALWAYS if pair[0] not in there]

    async def _guarded(self, ctx: Context) -> Response:
        access = ctx.route.access
        if access.kind == "public":
            ctx.allow(access.detail)
        elif access.kind == "signed_in":
            ctx.allow(access.detail, await ctx.authenticate())
        elif access.kind == "action":
            await ctx.require(access.detail, access.scope.format(**ctx.params))
        response = await ctx.route.handler(ctx)
        if not ctx.allowed:
            # A handler that forgot its check must not leak what it made. This is a bug of ours, so it is loud in the log.
            log.error("no access check was made: %s %s", ctx.request.method, ctx.route.pattern)
            raise ArmError(403, "AuthorizationFailed", "No access check allowed this request.")
        return response

    def _path(self, request: Request, head: dict[bytes, bytes]) -> str:
        """The decoded path. A host such as acct.blob.core.<domain> becomes the first piece, so one set of routes serves both forms."""
        hosts, path = [value for name, value in request.scope["headers"] if name == b"host"], request.scope["path"]
        name, storage = self._host(hosts) if hosts else ("", None)
        if "\0" in path or b"%00" in request.scope["query_string"]:
            raise bad_request("The address holds a NUL character.", "path", "InvalidUrl")
        if storage:
            return f"/{'.'.join(storage)}.core.windows.net{path}"
        if self.services.allowed_hosts and name not in self.services.allowed_hosts:
            raise ArmError(421, "InvalidHostHeader", "This server does not answer under that host name (see the setting public_host).", "Host")
        if path.startswith("//"):  # some clients join base URLs that end in a slash
            path = "/" + path.lstrip("/")
        return path

    def _host(self, hosts: list[bytes]) -> tuple[str, tuple[str, str] | None]:
        """The name in the Host header, and whose storage it names; remembered, since clients say the same thousands of times."""
        known = self._hosts.get(hosts[0]) if len(hosts) == 1 else None
        if known is None:
            match = _HOST.fullmatch(hosts[0].decode("latin-1").lower()) if len(hosts) == 1 else None
            if match is None:  # two readers could take such a header for two hosts (S8)
                raise bad_request("The Host header is no NAME or NAME:PORT, or there is more than one.", "Host", "InvalidHostHeader")
            name = match.group(1)
            known = name, account_in_host(name, self.services.settings.public_host)
            if len(self._hosts) >= _HOSTS_MAX:
                self._hosts.clear()
            self._hosts[hosts[0]] = known
        return known

    def _check_origin(self, request: Request, head: dict[bytes, bytes]) -> None:
        """Browsers name the page a request comes from; only our own pages may call (S7). Other clients send no Origin."""
        origin = head.get(b"origin")
        site = head.get(b"sec-fetch-site")
        if origin:
            if origin.lower() == b"https://" + head.get(b"host", b"").lower():
                return
        elif site in (None, b"same-origin", b"none"):
            return
        elif head.get(b"sec-fetch-mode") == b"navigate" and request.method in ("GET", "HEAD"):
            return
        raise ArmError(403, "CrossOriginRequestBlocked", "Requests from pages of another origin are refused.", "Origin")

    def _route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        first = path.split("/", 2)[1].lower() if "/" in path else ""
        verbs: set[str] = set()
        for candidates in (self._by_head.get(first, ()), self._anywhere):
            for route in candidates:
                match = route.regex.match(path)
                if match is None:
                    continue
                if method in route.methods:
                    return route, match.groupdict()
                verbs.update(route.methods)
        if verbs:
            allow = ", ".join(sorted(verbs))
            raise ArmError(405, "MethodNotAllowed", f"The method {method} is not supported here; {allow} are.", headers={"Allow": allow})
        raise ArmError(404, "InvalidResourceType", f"No route matches {path[:300]!r}.", "path")


class _Json(Response):
    """Starlette's Response, made without its questions about media type, charset and length."""

    media_type = "application/json"

    def __init__(self, body: bytes, status: int, headers: dict[str, str] | None):
        self.status_code, self.background, self.body = status, None, body
        self.raw_headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()] if headers else []
        self.raw_headers += ((b"content-length", b"%d" % len(body)), (b"content-type", b"application/json"))


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return _Json(msgspec.json.encode(value), status, headers)


def _new_guid() -> str:
    """As uuid4(), in a third of the time."""
    h = os.urandom(16).hex()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}"


_WHOLE = (Response, _Json)  # those that know all of their body


def render_arm_error(ctx: Context | None, error: ArmError) -> Response:
    return json_response(error.body(), error.status, {"x-ms-error-code": error.code, **error.headers})


def _compile(pattern: str) -> re.Pattern[str]:
    out, at = [], 0
    for match in re.finditer(r"\{(\w+)(?::((?:[^{}]|\{[^{}]*\})+))?\}", pattern):
        out.append(re.escape(pattern[at : match.start()]))
        name, kind = match.group(1), match.group(2) or "[^/]+"
        out.append(f"(?P<{name}>{'.*' if kind == 'path' else kind})")
        at = match.end()
    out.append(re.escape(pattern[at:]))
    return re.compile("".join(out) + r"/?\Z", re.IGNORECASE | re.DOTALL)


def _away(away: DatabaseAway) -> ArmError:
    """503 is what SDKs repeat by themselves; 507, which they do not, where somebody has to make room first."""
    if away.full:
        return ArmError(507, "InsufficientStorage", f"{away} Nothing was changed; make room on it and try again.")
    known = "The change may have been made or not: look before you repeat what cannot be repeated." if away.maybe_done else "Nothing was changed; try again in a moment."
    return ArmError(503, "ServiceUnavailable", f"{away} {known}", headers={"Retry-After": "1"})
