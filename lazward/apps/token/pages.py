"""The HTML of sign-in pages. No cookie and nothing kept in the browser, so there is nothing to ride on and nothing to steal."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape

from starlette.responses import Response

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:4rem auto;max-width:30rem;padding:0 1rem;color:#1b1b1f;background:#fff}"
    "h1{font-size:1.5rem}label{display:block;margin:.8rem 0}input{width:100%;box-sizing:border-box;font:inherit;padding:.5rem}"
    "button{font:inherit;padding:.5rem 1.2rem;margin-right:.5rem}[role=alert]{border-left:4px solid #b3261e;padding-left:.8rem}"
    "dt{font-weight:600}dd{margin:0 0 .5rem}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#1b1b1f}input{background:#2b2b31;color:inherit;border:1px solid #888}}"
)
_SEND = "document.forms[0].submit()"


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


_CSP = "default-src 'none'; style-src {style}; script-src {script}; form-action {targets}; frame-ancestors 'none'; base-uri 'none'"


def page(title: str, body: str, status: int = 200, *, form_target: str = "'self'", send: bool = False, headers: Mapping[str, str] | None = None) -> Response:
    """body: HTML, with everything from outside escaped by the caller. form_target: where its forms may be sent, redirects included.
    send: submits the first form at once."""
    script = f"<script>{_SEND}</script>" if send else ""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)} - Lazward</title><style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>{body}</main>{script}</body></html>"
    )
    policy = _CSP.format(style=_digest(_STYLE), script=_digest(_SEND) if send else "'none'", targets=form_target)
    return Response(text, status, {
        # "no-referrer" would make browsers send "Origin: null" with our own forms, which the chain refuses as it must.
        "Content-Security-Policy": policy, "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin", **(headers or {}),
    }, "text/html")


def alert(text: str) -> str:
    return f"<p role=alert>{escape(text)}</p>" if text else ""


def hidden(fields: Mapping[str, str]) -> str:
    return "".join(f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items())


def credentials() -> str:
    """The fields in which a principal proves itself."""
    return (
        '<label>Client id <input name="client_id" required autocomplete="username" spellcheck="false"></label>'
        '<label>Client secret <input name="client_secret" type="password" required autocomplete="current-password"></label>'
    )


def facts(rows: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows.items()) + "</dl>"


# Programs that people know by name; their ids are fixed.
CLIENTS = {
    "04b07795-8ddb-461a-bbee-02f9e1bf7b46": "Azure CLI or azure-identity", "1950a258-227b-4e31-a9cf-717495945fc2": "Azure PowerShell",
    "aebc6443-996d-45c2-90f0-388ff96faa56": "Visual Studio Code",
}


def client_name(client_id: str) -> str:
    known = CLIENTS.get(client_id.lower())
    return f"{known} ({client_id})" if known else client_id
