"""A real TLS server for tests, and what a client needs of it."""

import contextlib
import http.server
import json
import ssl
import threading
import time
from urllib.parse import parse_qs, urlsplit


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, body = self.server.answer(self.path, self.headers)
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # a refused handshake is what some tests want


@contextlib.contextmanager
def serve(certificate, key, answer=lambda path, headers: (200, {"path": path})):
    """Yields the port of a server on 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.answer = answer
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def managed_identity(secret, seen):
    """Answers as an App Service identity endpoint; appends (query, headers) of each call to `seen`."""

    def answer(path, headers):
        query = parse_qs(urlsplit(path).query)
        seen.append((query, dict(headers)))
        if headers.get("X-IDENTITY-HEADER") != secret:
            return 401, {"error": "invalid"}
        return 200, {"access_token": "token of " + query["resource"][0], "expires_on": str(int(time.time()) + 3600), "resource": query["resource"][0], "token_type": "Bearer"}

    return answer
