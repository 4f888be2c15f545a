"""The page at "/": the server is up, and how to point code at it. The studio takes its place later."""

from __future__ import annotations

import html

from starlette.responses import Response

from lazward import __version__
from lazward.apps.chain import Context

# No script, no style from elsewhere, no frame: there is nothing on this page to run (S11).
CSP = "default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:4rem auto;max-width:44rem;padding:0 1rem;color:#1b1b1f;background:#fbfbfe}"
    "h1{color:#26418f}code,pre{background:#eef1fb;border-radius:4px;padding:.1rem .35rem}pre{padding:1rem;overflow:auto}"
    "@media(prefers-color-scheme:dark){body{color:#e4e4ea;background:#15161c}h1{color:#9db4ff}code,pre{background:#23263a}}"
)


async def status_page(ctx: Context) -> Response:
    import base64
    import hashlib

    base = html.escape(ctx.services.base_url)
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    page = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Lazward</title><meta name="viewport" content="width=device-width">
<style>{STYLE}</style></head><body><h1>Lazward</h1><p>This server is up (version {html.escape(__version__)}) at <code>{base}</code>.</p>
<p>Point unmodified <code>azure-ai-ml</code>, <code>azure-identity</code> and <code>mlflow</code> code here, in a shell on this machine:</p>
<pre>eval "$(lazward env)"
python -c 'import os; from azure.ai.ml import MLClient; from azure.identity import DefaultAzureCredential
c = MLClient(DefaultAzureCredential(), os.environ["LAZWARD_SUBSCRIPTION_ID"], os.environ["LAZWARD_RESOURCE_GROUP"], os.environ["LAZWARD_WORKSPACE"])
print(c.workspaces.get().name)'</pre>
<p><code>lazward status</code> tells the state of each part, <code>lazward demo</code> trains, tracks, registers, deploys and scores a model.</p></body></html>"""
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": CSP.format(hash=digest), "Referrer-Policy": "no-referrer"})
