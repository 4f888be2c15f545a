"""Stands in for lazward.apps.main, which is tested elsewhere: real processes with its interface, that fail on demand.

Files in the data dir steer it: `<part>.crash` (exit with the code in it at start, saying why), `<part>.stubborn` (ignore TERM).
"""

import asyncio
import json
import os
import pathlib
import signal
import socket
import ssl
import sys
import threading
import time

from lazward.domain.settings import decode

PRINCIPAL = {
    "client_id": "c-1", "object_id": "o-1", "secret": "s3cret'$(x)\"", "tenant_id": "t-1", "subscription_id": "11111111-2222-3333-4444-555555555555",
    "resource_group": "local", "workspace": "default",
}


def main(part: str) -> None:
    settings = decode(pathlib.Path(os.environ["LAZWARD_RESOLVED_SETTINGS"]).read_bytes())
    root = pathlib.Path(os.environ["LAZWARD_DATA_DIR"])
    assert str(root) == settings.data_dir
    crash = root / f"{part}.crash"
    if crash.exists():
        print(f"RuntimeError: {part} was told to fail", file=sys.stderr, flush=True)
        sys.exit(int(crash.read_text()))
    if (root / f"{part}.stubborn").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (root / f"{part}.environ").write_text(json.dumps(dict(os.environ)))
    print(f"{part} is up, pid {os.getpid()}", flush=True)
    if part == "control":
        _serve(settings)
    else:
        (settings.layout.run / f"{part}.ready").write_text(str(os.getpid()))
    while True:
        signal.pause()


def _serve(settings) -> None:
    layout = settings.layout
    if not layout.principal_file.exists():
        layout.principal_file.write_text(json.dumps(PRINCIPAL))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(layout.server_certificate, layout.server_key)
    listener = socket.socket(fileno=int(os.environ["LAZWARD_LISTEN_FD"]))

    async def answer(reader, writer):
        while line := await reader.readline():
            headers = {}
            while (header := await reader.readline()).strip():
                name, _, value = header.decode().partition(":")
                headers[name.lower()] = value.strip()
            path = line.split()[1].decode()
            status, body = 200, {"status": "ok", "pid": os.getpid()}
            if path.startswith("/msi/token"):
                good = headers.get("x-identity-header") == json.loads(layout.principal_file.read_text())["secret"]
                status = 200 if good else 401
                body = {"access_token": "token-for:" + path, "expires_on": str(int(time.time()) + 3600), "resource": "r", "token_type": "Bearer"}
            data = json.dumps(body).encode()
            writer.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(data)) + data)
            await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, sock=listener, ssl=context)
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1])
