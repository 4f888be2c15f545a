"""The page on which a person confirms a device code: first who they are, then, seeing who asks for what, whether they agree.

The second step is there against phishing: a code can be sent to somebody by anybody. What was proven in the first step comes back
in a hidden field that is sealed with the master key and good for five minutes and this code only.
"""

from __future__ import annotations

import time
from urllib.parse import parse_qsl

from starlette.responses import Response

from lazward.apps.chain import Context
from lazward.apps.token import pages
from lazward.apps.token.errors import OAuthError
from lazward.apps.token.oauth import Issuer
from lazward.apps.token.requests import form_of
from lazward.identity.tokens import seal, unseal
from lazward.storage import grants

TITLE = "Sign in to Lazward"
DECIDE_S = 300
_UNKNOWN = "This code is unknown, has expired or was used already. Start the sign-in again in your program."
_PURPOSE = "device"


class DevicePages:
    def __init__(self, issuer: Issuer):
        self.issuer = issuer

    async def show(self, ctx: Context) -> Response:
        given = dict(parse_qsl(ctx.request.scope["query_string"].decode("latin-1"), max_num_fields=8)).get("user_code", "")
        return _ask(given)

    async def answer(self, ctx: Context) -> Response:
        """Both steps. The chain has refused forms of other origins."""
        try:
            form = await form_of(ctx)
            if "ticket" in form:
                return await self._decide(ctx, form)
            return await self._prove(ctx, form)
        except OAuthError as error:
            return _ask("", error.message, error.status, error.headers)

    async def _prove(self, ctx: Context, form: dict[str, str]) -> Response:
        code = _normal(form.get("user_code", ""))
        principal = await self.issuer.client(ctx, form.get("client_id", "").strip(), form.get("client_secret", "").strip())
        asked = await ctx.db.read(grants.device_of, self.issuer.hash(code), ctx.now)
        if asked is None:
            return _ask(code, _UNKNOWN, 400)
        ticket = seal(self.issuer.authority.master_key, _PURPOSE, [code, principal.id, principal.name], ctx.now + DECIDE_S)
        since = time.strftime("%H:%M:%S UTC", time.gmtime(asked["at"]))
        body = (
            f"<p>Go on only if you started this sign-in yourself. Who is let in may do whatever <strong>{pages.escape(principal.name)}</strong> may.</p>"
            + pages.facts({"Program": pages.client_name(asked["client_id"]), "From": asked["peer"], "For": asked["audience"], "Started at": since})
            + f'<form method="post" action="/device">{pages.hidden({"ticket": ticket})}<button name="decision" value="yes">Let it in</button>'
            '<button name="decision" value="no">Refuse</button></form>'
        )
        return pages.page("Let this program in?", body)

    async def _decide(self, ctx: Context, form: dict[str, str]) -> Response:
        proven = unseal(self.issuer.authority.master_key, _PURPOSE, form["ticket"], ctx.now)
        if proven is None:
            return _ask("", "That took too long. Please start again.", 400)
        code, principal_id, name = proven
        agreed = form.get("decision") == "yes"
        if not await ctx.db.write(grants.decide_device, self.issuer.hash(code), principal_id, agreed, ctx.now):
            return _ask("", _UNKNOWN, 400)
        if not agreed:
            return pages.page("Refused", "<p>The program was not let in. You can close this page.</p>")
        return pages.page("Signed in", f"<p>The program is signed in as <strong>{pages.escape(name)}</strong>. You can close this page.</p>")


def _ask(code: str, problem: str = "", status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = (
        f'{pages.alert(problem)}<form method="post" action="/device" autocomplete="off">'
        f'<label>Code that your program shows <input name="user_code" required spellcheck="false" autocapitalize="characters" value="{pages.escape(code[:40])}"></label>'
        f"{pages.credentials()}<button>Continue</button></form>"
    )
    return pages.page(TITLE, body, status, headers=headers)


def _normal(code: str) -> str:
    """As people type it: small letters, spaces and dashes do not count."""
    return "".join(c for c in code.upper() if c.isalnum())[:40]
