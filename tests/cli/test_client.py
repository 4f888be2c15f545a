import datetime as dt
import socket
import socketserver
import threading

import pytest

from lazward.cli.client import NoHealth, gateway_is_live, health, reachable
from lazward.identity.ca import ensure_certificates
from tests.identity.tls import serve


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return ensure_certificates(tmp_path_factory.mktemp("keys"), "localhost", dt.datetime.now(dt.UTC))


class TestHealth:
    def ask(self, made, answer, ca=None):
        with serve(made.certificate, made.key, lambda path, headers: answer if path == "/healthz" else (404, {})) as port:
            return health("127.0.0.1", port, ca or made.ca, 5.0)

    def test_a_healthy_server(self, made):
        assert self.ask(made, (200, {"status": "ok"})) == {"status": "ok"}
        assert self.ask(made, (200, [1])) == {"value": [1]}

    def test_an_unhealthy_one_is_quoted(self, made):
        with pytest.raises(NoHealth, match=r"503.*no database"):
            self.ask(made, (503, {"error": "no database"}))

    def test_another_programs_server_is_not_ours(self, made, tmp_path):
        other = ensure_certificates(tmp_path, "localhost", dt.datetime.now(dt.UTC))
        with pytest.raises(NoHealth, match="CERTIFICATE_VERIFY_FAILED"):
            self.ask(made, (200, {}), ca=other.ca)

    def test_nobody_there(self, made):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            with pytest.raises(NoHealth, match=r"no answer at 127\.0\.0\.1"):
                health("127.0.0.1", free.getsockname()[1], made.ca, 5.0)

    def test_somebody_who_says_nothing(self, made):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            with pytest.raises(NoHealth, match="timed out"):
                health("127.0.0.1", silent.getsockname()[1], made.ca, 0.05)

    def test_no_ca(self, tmp_path):
        with pytest.raises(NoHealth, match="cannot be read"):
            health("127.0.0.1", 1, tmp_path / "missing.pem", 1.0)


class TestGatewayIsLive:
    @pytest.mark.parametrize(("said", "live"), [(b"LIVE\n", True), (b"PRE_INITIALIZING\n", False), (None, False)])
    def test_by_what_envoy_says(self, tmp_path, said, live):
        class Admin(socketserver.StreamRequestHandler):
            def handle(self):
                assert self.rfile.readline().startswith(b"GET /ready ")
                if said is not None:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))

        with socketserver.UnixStreamServer(str(tmp_path / "admin.sock"), Admin) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            assert gateway_is_live(tmp_path / "admin.sock", 5.0) == live
            thread.join()

    def test_nobody_there(self, tmp_path):
        assert not gateway_is_live(tmp_path / "admin.sock", 5.0)


class TestReachable:
    def test_a_wildcard_is_reached_by_loopback(self):
        assert [reachable(h) for h in ("0.0.0.0", "::", "10.0.0.1")] == ["127.0.0.1", "::1", "10.0.0.1"]
