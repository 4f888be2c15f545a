"""Authorisation code with PKCE (RFC 7636, 8252): sign-in through the browser for programs on the same machine.

A code is sent to loopback addresses only (S23): there is no register of other redirect URIs, and a code that leaves the machine is
one that can be stolen.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.responses import Response

from lazward.apps.chain import Context
from lazward.apps.token import pages
from lazward.apps.token.errors import OAuthError
from lazward.apps.token.oauth import Issuer
from lazward.apps.token.requests import audience_of, fields_of, form_of, public_client_of
from lazward.identity.tokens import seal, unseal

TITLE = "Sign in to Lazward"
ANSWER_S = 600
_PURPOSE = "authorize"
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class AuthorizePages:
    def __init__(self, issuer: Issuer):
        self.issuer = issuer

    async def show(self, ctx: Context) -> Response:
        try:
            self.issuer.tenant(ctx)
            asked = _asked(fields_of(parse_qsl(ctx.request.scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=32)), self.issuer.services.base_url)
        except (OAuthError, ValueError) as error:
            # Nothing is sent to an address that has not been checked: the person is told instead.
            return pages.page("This sign-in cannot go on", pages.alert(error.message if isinstance(error, OAuthError) else "The request is malformed."), 400)
        return self._form(ctx, asked)

    async def answer(self, ctx: Context) -> Response:
        form = await form_of(ctx)
        asked = unseal(self.issuer.authority.master_key, _PURPOSE, form.get("request", ""), ctx.now)
        if asked is None:
            return pages.page("This sign-in cannot go on", pages.alert("That took too long. Start the sign-in again in your program."), 400)
        if form.get("decision") == "no":
            return _send(asked, {"error": "access_denied", "error_description": "The user has declined."})
        try:
            principal = await self.issuer.client(ctx, form.get("client_id", "").strip(), form.get("client_secret", "").strip())
        except OAuthError as error:
            return self._form(ctx, asked, error.message, error.status, error.headers)
        kept = {name: asked[name] for name in ("client_id", "redirect_uri", "challenge", "audience", "nonce")}
        return _send(asked, {"code": await self.issuer.new_code(ctx, principal, kept)})

    def _form(self, ctx: Context, asked: dict[str, Any], problem: str = "", status: int = 200, headers: dict[str, str] | None = None) -> Response:
        sealed = seal(self.issuer.authority.master_key, _PURPOSE, asked, ctx.now + ANSWER_S)
        place = urlsplit(asked["redirect_uri"])
        body = (
            f"{pages.alert(problem)}<p>A program on this machine asks you to sign in.</p>"
            + pages.facts({"Program": pages.client_name(asked["client_id"]), "For": asked["audience"]})
            # Relative: the same tenant path under which this page was asked for.
            + f'<form method="post" action="{pages.escape(ctx.request.scope["path"])}" autocomplete="off">{pages.hidden({"request": sealed})}{pages.credentials()}'
            '<button>Sign in</button><button name="decision" value="no" formnovalidate>Refuse</button></form>'
        )
        return pages.page(TITLE, body, status, form_target=f"'self' {place.scheme}://{place.netloc}", headers=headers)


def _asked(query: dict[str, str], base_url: str) -> dict[str, Any]:
    """What a request asks for, checked."""
    client_id, redirect = public_client_of(query), query.get("redirect_uri", "")
    if not is_loopback_redirect(redirect):
        raise OAuthError("invalid_request", "The redirect_uri must be http://localhost, http://127.0.0.1 or http://[::1], with a port and path at will.", number=50011)
    if query.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "The response_type must be 'code'.")
    mode = query.get("response_mode") or "query"
    if mode not in ("query", "form_post"):
        raise OAuthError("invalid_request", "The response_mode must be 'query' or 'form_post'.")
    if query.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(query.get("code_challenge", "")):
        raise OAuthError("invalid_request", "PKCE is required: a code_challenge with code_challenge_method=S256.")
    if len(query.get("state", "")) > 4096 or len(query.get("nonce", "")) > 1024:
        raise OAuthError("invalid_request", "state or nonce is too long.")
    return {
        "client_id": client_id, "redirect_uri": redirect, "challenge": query["code_challenge"], "audience": audience_of(query, base_url),
        "nonce": query.get("nonce", ""), "state": query.get("state"), "mode": mode,
    }


def is_loopback_redirect(url: str) -> bool:
    """Whether a code may be sent there: plain http to this very machine, and nothing that parsers could read in two ways."""
    if not re.fullmatch(r"http://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?(?:/[A-Za-z0-9._~/-]*)?", url) or len(url) > 512:
        return False
    try:
        port = urlsplit(url).port
    except ValueError:
        return False
    return port is None or port > 0


def _send(asked: dict[str, Any], answer: dict[str, str]) -> Response:
    if asked["state"] is not None:
        answer["state"] = asked["state"]
    target = asked["redirect_uri"]
    if asked["mode"] == "query":
        return Response(status_code=303, headers={"Location": f"{target}?{urlencode(answer)}", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    place = urlsplit(target)
    body = f'<form method="post" action="{pages.escape(target)}">{pages.hidden(answer)}<button>Continue</button></form>'
    return pages.page("Back to your program", body, form_target=f"{place.scheme}://{place.netloc}", send=True)
