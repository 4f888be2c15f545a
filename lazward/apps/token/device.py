"""The page on which a person confirms a device code with a principal's id and secret. No script, no cookie: nothing to steal."""

from __future__ import annotations

import base64
import hashlib
import html
from urllib.parse import parse_qs

from starlette.responses import Response

from lazward.apps.chain import Context
from lazward.apps.token.oauth import Issuer
from lazward.contract.errors import ArmError

STYLE = "body{font:16px/1.5 system-ui,sans-serif;margin:4rem auto;max-width:28rem;padding:0 1rem}label{display:block;margin:.8rem 0}input{width:100%;font:inherit;padding:.4rem}button{font:inherit;padding:.5rem 1rem}"
CSP = f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


class DevicePages:
    def __init__(self, issuer: Issuer):
        self.issuer = issuer

    async def show(self, ctx: Context) -> Response:
        return _page(_FORM.format(note=""))

    async def confirm(self, ctx: Context) -> Response:
        """The chain has refused forms of other origins; the proof is the secret itself."""
        fields = {k: v[0] for k, v in parse_qs((await ctx.body()).decode("utf-8", "replace"), max_num_fields=8).items()}
        try:
            principal = await self.issuer.client(ctx, fields)
        except ArmError as error:
            return _page(_FORM.format(note=f"<p role=alert>{html.escape(error.message)}</p>"), error.status)
        if not await self.issuer.confirm_device_code(ctx, fields.get("user_code", ""), principal):
            return _page(_FORM.format(note="<p role=alert>This code is unknown or has expired.</p>"), 400)
        return _page(f"<p>Signed in as {html.escape(principal.name)}. You can close this page.</p>")


_FORM = """{note}<form method="post" action="/device" autocomplete="off">
<label>Code <input name="user_code" required></label><label>Client id <input name="client_id" required></label>
<label>Client secret <input name="client_secret" type="password" required></label><button>Sign in</button></form>"""


def _page(body: str, status: int = 200) -> Response:
    text = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Lazward: sign in</title><style>{STYLE}</style></head><body><h1>Sign in to Lazward</h1>{body}</body></html>'
    return Response(text, status, {"Content-Security-Policy": CSP, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}, "text/html")
