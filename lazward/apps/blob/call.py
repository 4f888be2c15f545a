"""One storage request as the operations see it: a request of its own, or one of the parts of a batch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from lazward.apps.chain import Context
from lazward.domain.blobs.conditions import Conditions, parse_conditions
from lazward.domain.blobs.errors import storage_error, unsupported
from lazward.identity.sas import Grant
from lazward.storage.blobs.records import BlobKey
from lazward.storage.blobs.store import BlobStore

VERSION = "2025-11-05"  # of the service, for clients that name none
MAX_XML = 8 * 1024 * 1024  # a list of 50,000 blocks has its place in it
# What would change how data is kept or checked; ignoring one of these would be a lie.
_UNSUPPORTED_HEADERS = {
    "x-ms-encryption-key": "Encryption with a key of the client", "x-ms-encryption-scope": "Encryption scopes",
    "x-ms-structured-body": "Structured message bodies", "x-ms-if-tags": "Conditions on tags", "x-ms-source-if-tags": "Conditions on tags",
    "x-ms-immutability-policy-until-date": "Immutability policies", "x-ms-legal-hold": "Legal holds", "x-ms-seal-blob": "Sealing",
}


@dataclass
class Call:
    """container and blob are "" where the path names none. headers and query have names in lower case."""

    ctx: Context
    endpoint: str  # blob | dfs
    method: str
    raw_path: str  # as sent, undecoded: what SharedKey signs
    query_items: list[tuple[str, str]]
    headers: Mapping[str, str]
    account: str
    container: str
    blob: str
    create_only: bool = False  # the signature lets create, not overwrite
    grant: Grant | None = None
    proof: str = ""  # key | sas | bearer
    received: int = 0  # bytes of the body read so far
    query: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.query = {name.lower(): value for name, value in self.query_items}
        for name, what in _UNSUPPORTED_HEADERS.items():
            if name in self.headers:
                raise unsupported(what)
        if "snapshot" in self.query or "versionid" in self.query:
            raise unsupported("Snapshots and versions of blobs")

    @property
    def store(self) -> BlobStore:
        return self.ctx.services.blobs

    @property
    def now(self) -> float:
        return self.ctx.services.now()

    @property
    def key(self) -> BlobKey:
        return BlobKey(self.account, self.container, self.blob)

    @property
    def host(self) -> str:
        return self.ctx.request.headers.get("host", "").lower()

    @property
    def version(self) -> str:
        return self.headers.get("x-ms-version") or VERSION

    def conditions(self) -> Conditions:
        return parse_conditions(self.headers, create_only=self.create_only)

    def header(self, name: str) -> str:
        """The value; ArmError 400 when it is missing."""
        value = self.headers.get(name, "")
        if not value:
            raise storage_error("MissingRequiredHeader", f"{name} is required.", name)
        return value

    def number(self, name: str, *, required: bool = False, low: int = 0, high: int = 2**63 - 1, query: bool = False) -> int | None:
        """An integer header or query parameter; ArmError 400 naming it when it is none or out of range."""
        text = (self.query if query else self.headers).get(name)
        kind = "QueryParameter" if query else "Header"
        if text is None or text == "":
            if required:
                raise storage_error(f"MissingRequired{kind}", f"{name} is required.", name)
            return None
        try:
            value = int(text) if len(text) < 20 else high + 1
        except ValueError:
            raise storage_error(f"Invalid{kind}Value", f"{name} is a number, not '{text[:40]}'.", name) from None
        if not low <= value <= high:
            raise storage_error("OutOfRangeInput", f"{name} is from {low} to {high}, not {text[:20]}.", name)
        return value

    def length(self) -> int | None:
        """Bytes of the body, where the client says."""
        return self.number("content-length")

    def meta(self) -> dict[str, str]:
        return {name[10:]: value for name, value in self.headers.items() if name.startswith("x-ms-meta-")}

    def stream(self, limit: int, what: str) -> AsyncIterator[bytes]:
        """The body in pieces; ArmError 413 beyond limit bytes."""
        length = self.length()
        if length is not None and length > limit:
            raise storage_error("RequestBodyTooLarge", f"{what} has at most {limit} bytes.", "Content-Length", x_ms_limit=limit)
        return self._limited(limit, what)

    async def _limited(self, limit: int, what: str) -> AsyncIterator[bytes]:
        async for piece in self.ctx.stream():
            self.received += len(piece)
            if self.received > limit:
                raise storage_error("RequestBodyTooLarge", f"{what} has at most {limit} bytes.")
            yield piece

    async def body(self, limit: int = MAX_XML) -> bytes:
        return b"".join([piece async for piece in self.stream(limit, "The body")])


def call_of(ctx: Context, endpoint: str) -> Call:
    """From the path as sent: it is decoded here, strictly, since names are data and no replacement character may creep in."""
    scope = ctx.request.scope
    raw = scope.get("raw_path") or scope["path"].encode()
    query = parse_query(scope.get("query_string", b"").decode("latin-1"))
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    account = ctx.params["account"].split(".", 1)[0].lower()
    try:
        path = unquote(raw.decode("latin-1"), errors="strict")
    except UnicodeDecodeError:
        raise storage_error("InvalidUri", "The path is not UTF-8.") from None
    pieces = path.lstrip("/").split("/", 2 if _in_host(ctx) else 3)
    if not _in_host(ctx):
        pieces = pieces[1:]
    container, blob = ((pieces[0] if pieces else ""), "/".join(pieces[1:]))
    if endpoint == "dfs":
        blob = blob.rstrip("/")  # a folder is named with and without
    return Call(ctx, endpoint, ctx.request.method, raw.decode("latin-1"), query, headers, account, container, blob)


def parse_query(text: str) -> list[tuple[str, str]]:
    """Names and values decoded; a plus sign is a plus sign, as it is in signatures."""
    items = []
    for piece in text.split("&"):
        if piece:
            name, _, value = piece.partition("=")
            items.append((unquote(name), unquote(value)))
    return items


def _in_host(ctx: Context) -> bool:
    """Whether the account stands in the host name rather than in the path."""
    return not ctx.request.scope["path"].lstrip("/").lower().startswith(ctx.params["account"].lower())


