"""Without MLflow: real HTTP to a server that misbehaves."""

from __future__ import annotations

import http.server
import io
import threading

import pytest

from lazward_mlflow.senders import Away, Forbidden, PlainSender, authorization


class Handler(http.server.BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Authorization"), self.rfile.read(int(self.headers.get("Content-Length") or 0))))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 0:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            self.close_connection = True
            return
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://elsewhere.invalid/")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.seen, made.statuses = [], []
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def sender(server, auth=lambda again: "Bearer new" if again else "Bearer old") -> PlainSender:
    return PlainSender(f"http://127.0.0.1:{server.server_port}/base", auth, {"NO_PROXY": "*"}, 5)


def test_a_path_is_sent_as_mlflow_sends_it(server):
    assert sender(server)("PUT", "/a b/ü%20x?q=1", b"body", {}) == (200, b"{}")
    assert server.seen == [("/base/a%20b/%C3%BC%20x?q=1", "Bearer old", b"body")]


def test_a_token_that_has_ended_is_replaced_and_the_file_sent_whole_again(server):
    server.statuses = [401]
    assert sender(server)("PUT", "/f", io.BytesIO(b"x" * 100_000), {}, 100_000)[0] == 200
    assert [(token, len(data)) for _, token, data in server.seen] == [("Bearer old", 100_000), ("Bearer new", 100_000)]


def test_answers_are_given_as_they_are(server):
    for status in (400, 404, 409, 503):
        server.statuses = [status]
        assert sender(server)("PUT", "/f", b"", {}) == (status, b"{}")


def test_a_token_goes_nowhere_else(server):
    server.statuses = [302]
    assert sender(server)("PUT", "/f", b"", {})[0] == 302


def test_an_answer_that_is_cut_off_is_none(server):
    server.statuses = [0]
    with pytest.raises(Away):
        sender(server)("PUT", "/f", b"", {})


def test_nobody_there(server):
    made = PlainSender("http://127.0.0.1:1", lambda again: None, {}, 5)
    with pytest.raises(Away, match="refused"):
        made("PUT", "/f", b"", {})


def test_authorization():
    def header(base: str, alone: bool = True, **environ: str) -> str | None:
        return authorization(environ, base, alone)(False)

    base = "https://h:1/mlflow/workspaces/w"
    identity = {"IDENTITY_ENDPOINT": "https://127.0.0.1:1/msi/token", "IDENTITY_HEADER": "y"}
    assert header(base) is None
    assert header(base, MLFLOW_TRACKING_TOKEN="t", **identity) == "Bearer t"
    assert header(base, MLFLOW_TRACKING_USERNAME="u", MLFLOW_TRACKING_PASSWORD="p") == "Basic dTpw"
    with pytest.raises((Away, Forbidden)):
        header("https://127.0.0.1:1/x", **identity)


@pytest.mark.parametrize(("uri", "base", "alone", "given"), [
    ("https://h:1/mlflow/workspaces/w", "https://h:1/mlflow/v2.0/x", False, True), ("azureml://h:1/mlflow/v1.0/subscriptions/s", "https://H:1/x", False, True),
    ("https://h:1/x", "https://evil:1/x", True, False), ("https://h:1/x", "https://h:2/x", True, False), ("https://h:1/x", "http://h:1/x", True, False),
    ("https://h:1/x", "https://h:1.evil.test/x", True, False), ("", "https://h:1/x", False, False), ("", "https://h:1/x", True, True),
])
def test_a_token_is_one_servers(uri, base, alone, given):
    environ = {"MLFLOW_TRACKING_TOKEN": "t", "MLFLOW_TRACKING_URI": uri, "IDENTITY_ENDPOINT": "https://other/msi/token", "IDENTITY_HEADER": "y"}
    assert authorization(environ, base, alone)(False) == ("Bearer t" if given else None)
