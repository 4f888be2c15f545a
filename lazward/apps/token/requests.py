"""What token requests say: the form, the client's credentials, the audience."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import parse_qsl, unquote_plus

from lazward.apps.chain import Context
from lazward.apps.token.errors import OAuthError
from lazward.domain.serving import ENDPOINT_TOKEN_AUDIENCE

MAX_FORM = 64 * 1024
_AUDIENCE = re.compile(r"[A-Za-z0-9:/._~%+@-]{1,512}")
_CLIENT_ID = re.compile(r"[A-Za-z0-9:/._~@-]{1,256}")
_OPENID = frozenset({"openid", "profile", "offline_access", "email"})
_GRAPH = "https://graph.microsoft.com"


async def form_of(ctx: Context) -> dict[str, str]:
    """The fields; each once (RFC 6749 3.2). A body without a type is read as one: so do Azure's examples of REST send it, and Azure takes it."""
    kind = ctx.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", ""):
        raise OAuthError("invalid_request", "The body must be of the type application/x-www-form-urlencoded.")
    try:
        pairs = parse_qsl((await ctx.body()).decode("utf-8"), keep_blank_values=True, max_num_fields=64, errors="strict")
    except ValueError:
        raise OAuthError("invalid_request", "The body is no form of up to 64 fields in UTF-8.") from None
    return fields_of(pairs)


def fields_of(pairs: list[tuple[str, str]]) -> dict[str, str]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise OAuthError("invalid_request", "A parameter is given more than once.")
    return fields


def credentials_of(ctx: Context, form: dict[str, str]) -> tuple[str, str]:
    """(client id, secret) of the form, or of HTTP Basic; 401 when they are of another kind or missing."""
    if form.get("client_assertion") or form.get("client_assertion_type"):
        raise OAuthError("invalid_client", "Certificates and federated assertions are not supported by this server; use a client secret.", 401, 700027)
    scheme, _, basic = ctx.request.headers.get("authorization", "").partition(" ")
    client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    if scheme.lower() == "basic":
        if secret:
            raise OAuthError("invalid_request", "The client authenticates in two ways at once.")
        try:
            left, _, right = base64.b64decode(basic, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise OAuthError("invalid_client", "The Authorization header is malformed.", 401, headers={"WWW-Authenticate": 'Basic realm="Lazward"'}) from None
        client_id, secret = unquote_plus(left), unquote_plus(right)
    if not client_id:
        raise OAuthError("invalid_request", "The request body must contain the following parameter: 'client_id'.")
    if not secret:
        raise OAuthError("invalid_client", "The request body must contain the following parameter: 'client_secret'.", 401, 7000218)
    return client_id, secret


def public_client_of(form: dict[str, str]) -> str:
    """The id of a client without secret; it says which program asks and proves nothing."""
    client_id = form.get("client_id", "")
    if not client_id:
        raise OAuthError("invalid_request", "The request must contain the following parameter: 'client_id'.")
    if not _CLIENT_ID.fullmatch(client_id):
        raise OAuthError("unauthorized_client", "The client_id has a form that no client has.")
    return client_id


def audience_of(form: dict[str, str], default: str | None) -> str:
    """The audience asked for: `resource` of v1, or the scopes of v2, which must all be of one audience. Any is issued, for clients
    ask for Azure's fixed ones too; each surface takes its own. default: where none is asked for; None = that is an error."""
    if "resource" in form:
        wanted = {form["resource"]}
    else:
        wanted = {_audience(scope) for scope in form.get("scope", "").split() if scope.lower() not in _OPENID}
    if not wanted:
        if default is None:
            raise OAuthError("invalid_request", "The request body must contain the following parameter: 'scope'.")
        return default
    if len(wanted) > 1:
        raise OAuthError("invalid_scope", "The scopes are of more than one resource; a token is for one.", number=28000)
    audience = wanted.pop()
    if not _AUDIENCE.fullmatch(audience) or audience.lower() == ENDPOINT_TOKEN_AUDIENCE.lower():
        raise OAuthError("invalid_scope", "The scope or resource asked for is not valid.")
    return audience


def _audience(scope: str) -> str:
    if scope.lower().endswith("/.default"):
        return scope[: -len("/.default")]  # a slash before it belongs to the audience: https://x//.default
    return scope.rpartition("/")[0] if "/" in scope else _GRAPH
