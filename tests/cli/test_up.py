import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from lazward.cli import processes
from lazward.cli.ports import listen


def get(install, path="/healthz"):
    server = json.loads((install.data_dir / "run" / "server.json").read_text())
    context = ssl.create_default_context(cafile=str(install.data_dir / "keys" / "ca.pem"))
    with urllib.request.urlopen(server["url"] + path.lstrip("/"), context=context, timeout=10) as answer:
        return json.loads(answer.read())


class TestUpDetached:
    def test_returns_when_the_server_answers_and_says_where_to_go(self, install):
        done = install("up", "--detach", "--port", "0", "--gateway-port", "0")
        server = json.loads((install.data_dir / "run" / "server.json").read_text())
        assert get(install) == {"status": "ok", "pid": install.part("control")["pid"]}
        assert server["url"] in done.stdout and str(install.data_dir) in done.stdout and 'eval "$(lazward env' in done.stdout
        assert server.keys() >= {"pid", "host", "port", "gateway_port", "url", "started"}
        assert server["pid"] == install.supervisor()

    def test_urls_stay_the_same_over_restarts(self, install):
        install.start()
        first = (install.data_dir / "endpoint.json").read_bytes()
        install("down")
        install("up", "--detach")
        assert (install.data_dir / "endpoint.json").read_bytes() == first

    def test_a_part_that_cannot_start_ends_the_command_with_the_reason_and_leaves_nothing(self, install):
        install.data_dir.mkdir(mode=0o700)
        (install.data_dir / "keys").mkdir()
        (install.data_dir / "control.crash").write_text("7")
        done = install("up", "--detach", "--port", "0", "--gateway-port", "0", code=1)
        assert "its part 'control' does not start: exit code 7" in done.stderr and "RuntimeError: control was told to fail" in done.stderr
        assert "next: See the logs" in done.stderr
        assert install.status(code=3)["state"] == "stopped"

    def test_the_settings_reach_the_parts(self, install):
        install.start("--location", "attic", "--set", "max_job_cores=3", "--log-level", "debug")
        environ = json.loads((install.data_dir / "worker.environ").read_text())
        settings = json.loads(Path(environ["LAZWARD_RESOLVED_SETTINGS"]).read_text())
        assert (settings["location"], settings["max_job_cores"], settings["log_level"]) == ("attic", 3, "debug")
        endpoint = json.loads((install.data_dir / "endpoint.json").read_text())
        assert (settings["port"], settings["gateway_port"]) == (endpoint["port"], endpoint["gateway_port"])

    def test_the_server_does_not_act_with_a_clients_identity(self, install):
        env = {"IDENTITY_HEADER": "x", "IDENTITY_ENDPOINT": "https://elsewhere/", "AWS_PROFILE": "p", "HTTPS_PROXY": "http://127.0.0.1:9"}
        install("up", "--detach", "--port", "0", "--gateway-port", "0", environ=env)
        environ = json.loads((install.data_dir / "worker.environ").read_text())
        assert "IDENTITY_HEADER" not in environ and "IDENTITY_ENDPOINT" not in environ
        assert environ["AWS_PROFILE"] == "p" and "localhost" in environ["NO_PROXY"]
        assert environ["SSL_CERT_FILE"] == environ["REQUESTS_CA_BUNDLE"] == str(install.data_dir / "keys" / "bundle.pem")

    def test_s20_state_is_private(self, install):
        install.start()
        for folder, _, files in os.walk(install.data_dir):
            assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700, folder
            for name in files:
                assert not stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) & 0o077, name


    def test_a_data_dir_too_long_for_sockets_is_refused(self, tmp_path, clean_environ):
        long = tmp_path / ("d" * 100)
        done = subprocess.run(
            [sys.executable, "-m", "lazward.cli.main", "up", "--detach", "--port", "0", "--gateway-port", "0", "--data-dir", str(long)],
            env=clean_environ, capture_output=True, text=True,
        )
        assert done.returncode == 1 and "too long for a unix socket" in done.stderr and "shorter --data-dir" in done.stderr


class TestUpInTheForeground:
    def test_tells_what_happens_and_stops_on_ctrl_c(self, install, wait_for):
        process = subprocess.Popen(
            install.argv("up", "--port", "0", "--gateway-port", "0"), env=install.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        assert process.stdout.readline() == "Lazward is ready.\n"
        pids = install.pids()
        os.kill(install.part("worker")["pid"], signal.SIGKILL)
        wait_for(lambda: install.part("worker")["restarts"] == 1 and install.part("worker")["state"] == "running")
        pids += install.pids()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "worker: killed by SIGKILL" in errors
        assert not any(processes.is_same(*record) for record in pids)


class TestOneServerPerDataDir:
    def test_a_second_one_is_refused_naming_the_first(self, install):
        install.start()
        done = install("up", "--detach", code=1)
        assert f"(pid {install.supervisor()})" in done.stderr and "lazward status" in done.stderr
        assert install.status()["state"] == "running"

    def test_two_at_once(self, install):
        argv = install.argv("up", "--detach", "--port", "0", "--gateway-port", "0")
        both = [subprocess.Popen(argv, env=install.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        ends = [(process.communicate(timeout=60)[1], process.returncode) for process in both]
        assert sorted(code for _, code in ends) == [0, 1], ends
        assert "Another Lazward server" in next(error for error, code in ends if code)
        assert install.status()["state"] == "running"


class TestPorts:
    def test_a_busy_default_gives_way(self, install):
        blockers = []
        for port in (8443, 8444):
            try:
                blockers.append(listen("127.0.0.1", port))
            except OSError:
                pass  # busy without us: just as well
        try:
            install("up", "--detach")
            endpoint = json.loads((install.data_dir / "endpoint.json").read_text())
            assert not {endpoint["port"], endpoint["gateway_port"]} & {8443, 8444}
            assert get(install)["status"] == "ok"
        finally:
            for blocker in blockers:
                blocker.close()

    @pytest.mark.parametrize("how", ["asked", "kept"])
    def test_one_that_was_asked_for_or_kept_is_refused_when_busy(self, install, how):
        with socket.socket() as blocker:
            blocker.bind(("127.0.0.1", 0))
            port = blocker.getsockname()[1]
            if how == "kept":
                install("up", "--detach", "--port", "0", "--gateway-port", "0")
                install("down")
                endpoint = json.loads((install.data_dir / "endpoint.json").read_text())
                (install.data_dir / "endpoint.json").write_text(json.dumps(endpoint | {"port": port}))
            blocker.listen()
            done = install("up", "--detach", *(("--port", str(port)) if how == "asked" else ()), code=1)
            assert f"Port {port}" in done.stderr and "--port" in done.stderr
            assert ("URLs" in done.stderr) == (how == "kept")
        assert install.status(code=3)["state"] == "stopped"


class TestS6AndS21:
    def test_refuses_to_listen_for_other_machines_without_a_public_host(self, install):
        done = install("up", "--detach", "--host", "0.0.0.0", code=2)
        assert "--host (flags): 0.0.0.0 can be reached from other machines. Set public_host" in done.stderr
        assert not install.data_dir.exists()

    def test_listens_on_loopback_only(self, install):
        install.start()
        port = json.loads((install.data_dir / "run" / "server.json").read_text())["port"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))  # sends nothing; tells the address of this machine
                address = probe.getsockname()[0]
            except OSError:
                pytest.skip("this machine has no address besides loopback")
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=2).close()


class TestBadSettings:
    @pytest.mark.parametrize(("argv", "message"), [
        (("--set", "colour=red"), "Setting colour (--set): there is no such setting."),
        (("--set", "max_job_cores"), "Setting max_job_cores (--set): has no value"),
        (("--port", "70000"), "Setting --port (flags): expected int <= 65535, got 70000."),
        (("--port", "x"), "--port"),
        (("--config", "/does/not/exist.toml"), "The settings file /does/not/exist.toml does not exist."),
        (("--log-level", "loud"), "--log-level"),
    ])
    def test_are_named_and_nothing_is_made(self, install, argv, message):
        done = install("up", "--detach", *argv, code=2)
        assert message in done.stderr and "next:" in done.stderr
        assert not install.data_dir.exists()
