"""Real processes, killed: what is restarted, what ends with the supervisor, what outlives it."""

import os
import signal
import sys
import threading

import pytest

from lazward.cli import datadir, processes
from lazward.cli.part import ChildSpec
from lazward.cli.supervisor import HOPELESS, Options, Supervisor, end_leftovers, leftovers

KILL = signal.SIGKILL


def gone(*records):
    return not any(processes.is_same(*record) for record in records)


class TestARestartedPart:
    @pytest.mark.parametrize("name", ["control", "worker", "gateway"])
    def test_a_killed_part_comes_back_and_the_reason_is_shown(self, install, wait_for, name):
        install.start()
        before = install.part(name)
        os.kill(before["pid"], KILL)
        wait_for(lambda: install.part(name)["pid"] not in (0, before["pid"]) and install.part(name)["state"] == "running")
        report = install.status()
        part = next(p for p in report["parts"] if p["name"] == name)
        assert (part["restarts"], report["state"]) == (1, "running"), install.logs()
        assert "killed by SIGKILL" in part["last_error"]
        assert "killed by SIGKILL" in (install.data_dir / "logs" / "supervisor.log").read_text()

    def test_connections_wait_while_the_control_plane_restarts(self, install):
        install.start()
        pid = install.part("control")["pid"]
        os.kill(pid, signal.SIGSTOP)  # so that it surely accepts nothing more
        threading.Timer(0.3, os.kill, (pid, KILL)).start()
        server = datadir.read_json(install.data_dir / "run" / "server.json")
        from lazward.cli.client import health

        answer = health(server["host"], server["port"], install.data_dir / "keys" / "ca.pem", timeout=20)
        assert answer["status"] == "ok" and answer["pid"] != pid

    def test_one_that_keeps_failing_is_tried_less_and_less_and_refuses_connections(self, install, wait_for):
        install.start()
        (install.data_dir / "control.crash").write_text("3")
        os.kill(install.part("control")["pid"], KILL)
        wait_for(lambda: install.part("control")["restarts"] >= 4)
        report = install.status(code=1)
        assert report["state"] == "degraded" and "refused" in report["health"].lower()
        assert "exit code 3" in report["parts"][0]["last_error"] and "was told to fail" in report["parts"][0]["last_error"]
        (install.data_dir / "control.crash").unlink()
        wait_for(lambda: install.part("control")["state"] == "running")
        assert install.status()["health"] == "ok"


class TestAKilledSupervisor:
    def test_control_and_worker_end_with_it_and_the_gateway_goes_on(self, install, wait_for):
        install.start()
        parts = {name: install.part(name) for name in ("control", "worker", "gateway")}
        os.kill(install.supervisor(), KILL)
        if sys.platform == "linux":
            wait_for(lambda: gone(*((parts[n]["pid"], parts[n]["identity"]) for n in ("control", "worker"))))
        wait_for(lambda: install.status(code=None)["state"] == "killed")
        assert processes.is_same(parts["gateway"]["pid"], parts["gateway"]["identity"])
        report = install.status(code=1)
        assert "gateway" in [part["name"] for part in report["parts"]]

    def test_the_next_one_adopts_the_gateway_and_has_the_same_urls(self, install, wait_for):
        install.start()
        gateway, endpoint = install.part("gateway"), (install.data_dir / "endpoint.json").read_bytes()
        os.kill(install.supervisor(), KILL)
        wait_for(lambda: datadir.holder(layout(install)) is None)
        install("up", "--detach")
        assert install.part("gateway")["pid"] == gateway["pid"]
        assert install.part("gateway")["since"] == gateway["since"]
        assert (install.data_dir / "endpoint.json").read_bytes() == endpoint
        # It is watched as one of our own.
        os.kill(gateway["pid"], KILL)
        wait_for(lambda: install.part("gateway")["pid"] not in (0, gateway["pid"]))
        assert install.status()["state"] == "running"

    def test_a_gateway_of_other_arguments_is_replaced(self, install, wait_for):
        install.start()
        gateway = install.part("gateway")
        os.kill(install.supervisor(), KILL)
        wait_for(lambda: datadir.holder(layout(install)) is None)
        install("up", "--detach", "--location", "changed")
        assert gone((gateway["pid"], gateway["identity"]))
        assert install.part("gateway")["pid"] != gateway["pid"]

    def test_a_control_plane_that_does_not_end_is_killed_by_the_next_one(self, install, wait_for):
        install.data_dir.mkdir(mode=0o700)
        (install.data_dir / "keys").mkdir()
        (install.data_dir / "control.stubborn").touch()
        install.start("--set", "stop_grace=1")
        control = install.part("control")
        os.kill(install.supervisor(), KILL)
        wait_for(lambda: datadir.holder(layout(install)) is None)
        assert not gone((control["pid"], control["identity"]))
        (install.data_dir / "control.stubborn").unlink()
        install("up", "--detach", "--set", "stop_grace=0")
        assert gone((control["pid"], control["identity"]))
        assert install.status()["health"] == "ok"


def layout(install):
    from lazward.domain.layout import Layout

    return Layout(str(install.data_dir))


class TestStopping:
    def test_one_that_ignores_term_is_killed_after_the_grace(self, install):
        install.data_dir.mkdir(mode=0o700)
        (install.data_dir / "keys").mkdir()
        (install.data_dir / "worker.stubborn").touch()
        install.start("--set", "stop_grace=0")
        worker = install.part("worker")
        install("down")
        assert gone((worker["pid"], worker["identity"]))
        assert "worker: did not end within 0 s and is killed" in (install.data_dir / "logs" / "supervisor.log").read_text()

    def test_nothing_is_left(self, install):
        install.start()
        pids = install.pids()
        install("down")
        assert gone(*pids)
        assert not (install.data_dir / "run" / "parts.json").exists() and not (install.data_dir / "run" / "server.json").exists()


def spec(tmp_path, name, code, **more):
    return ChildSpec(name, (sys.executable, "-c", code), dict(os.environ), tmp_path / f"{name}.log", tmp_path, **more)


def options(tmp_path, **more):
    return Options(**{"parts_file": tmp_path / "parts.json", "log": tmp_path / "supervisor.log", "log_max_bytes": 1000, "log_keep": 1,
                      "stop_grace": 5.0, "renew": lambda: False} | more)


SLEEPER = "import signal; signal.pause()"


class TestInThisProcess:
    """The loop itself, stopped by a real TERM from its own call-backs."""

    @staticmethod
    def stop():
        os.kill(os.getpid(), signal.SIGTERM)

    def test_ready_is_said_once_when_all_are(self, tmp_path):
        asked = []

        def ready(pid):
            asked.append(pid)
            return len(asked) > 2

        said = []
        supervisor = Supervisor(
            [spec(tmp_path, "a", SLEEPER, ready=ready), spec(tmp_path, "b", SLEEPER)], options(tmp_path), said.append, self.stop,
        )
        supervisor.run()
        assert len(asked) == 3 and len(set(asked)) == 1
        assert said.index("a: ready") > said.index(f"a: started (pid {asked[0]})")
        assert said[-2:] == ["stopping", "stopped"]

    def test_one_that_nobody_wants_yet_waits_and_is_no_fault(self, tmp_path):
        wanted, said = tmp_path / "wanted", []

        def say(line):
            said.append(line)
            if line.startswith("b: started"):
                self.stop()

        def ready():
            assert [record["state"] for record in datadir.read_json(tmp_path / "parts.json")] == ["running", "idle"]
            wanted.touch()

        Supervisor([spec(tmp_path, "a", SLEEPER), spec(tmp_path, "b", SLEEPER, wanted=wanted.exists)], options(tmp_path), say, ready).run()
        assert [line.split(" (")[0] for line in said] == ["a: started", "b: started", "stopping", "stopped"]

    @pytest.mark.parametrize("argv", [(sys.executable, "-c", "print('why'); raise SystemExit(9)"), ("/does/not/exist",)])
    def test_hopeless_is_said_with_the_reason(self, tmp_path, argv):
        reasons = []
        one = ChildSpec("a", argv, dict(os.environ), tmp_path / "a.log", tmp_path, ready=lambda pid: False)
        supervisor = Supervisor([one], options(tmp_path), lambda line: None, on_hopeless=lambda reason: (reasons.append(reason), self.stop()))
        supervisor.run()
        assert len(reasons) == 1 and supervisor.parts[0].failures == HOPELESS
        assert ("exit code 9" in reasons[0] and "why" in reasons[0]) or "could not be started" in reasons[0]

    def test_a_renewed_certificate_restarts_who_serves_it(self, tmp_path, monkeypatch):
        from lazward.cli import supervisor as module

        monkeypatch.setattr(module, "_RENEWAL_EVERY", 0.0)
        monkeypatch.setattr(module, "_IDLE_PAUSE", 0.01)
        renewals = iter([True])
        starts = []

        def say(line):
            if line.startswith("a: started"):
                starts.append(line)
                if len(starts) == 2:
                    self.stop()

        specs = [spec(tmp_path, "a", SLEEPER, serves_tls=True), spec(tmp_path, "b", SLEEPER)]
        supervisor = Supervisor(specs, options(tmp_path, renew=lambda: next(renewals, False)), say)
        supervisor.run()
        a, b = supervisor.parts
        assert (a.restarts, a.last_error, b.restarts) == (0, "", 0)
        assert len(starts) == 2

    def test_upkeep_that_fails_stops_nothing(self, tmp_path, monkeypatch):
        from lazward.cli import supervisor as module

        monkeypatch.setattr(module, "_RENEWAL_EVERY", 0.0)
        said = []

        def renew():
            raise OSError("no space left")

        def say(line):
            said.append(line)
            if "upkeep failed" in line:
                self.stop()

        Supervisor([spec(tmp_path, "a", SLEEPER)], options(tmp_path, renew=renew), say).run()
        assert "upkeep failed: no space left" in said

    def test_a_second_signal_kills_at_once(self, tmp_path):
        stubborn = "import signal,sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
        said = []

        def say(line):
            said.append(line)
            if line == "stopping":
                self.stop()

        log = tmp_path / "a.log"
        one = spec(tmp_path, "a", stubborn, ready=lambda pid: "deaf" in log.read_text())
        supervisor = Supervisor([one], options(tmp_path, stop_grace=3600.0), say, self.stop)
        supervisor.run()
        assert supervisor.parts[0].state == "stopped"


class TestLeftovers:
    def test_only_those_that_are_still_the_same(self, tmp_path):
        mine = processes.identity(os.getpid())
        datadir.write_json(tmp_path / "parts.json", [
            {"name": "a", "pid": os.getpid(), "identity": mine}, {"name": "b", "pid": os.getpid(), "identity": "another boot:1"},
            {"name": "c"}, "nonsense",
        ])
        assert [record["name"] for record in leftovers(tmp_path / "parts.json")] == ["a"]

    @pytest.mark.parametrize("content", ["", "{}", "[1]", "null"])
    def test_a_damaged_record_is_no_record(self, tmp_path, content):
        (tmp_path / "parts.json").write_text(content)
        assert leftovers(tmp_path / "parts.json") == []
        assert leftovers(tmp_path / "missing.json") == []

    def test_are_ended(self, tmp_path):
        import subprocess

        process = subprocess.Popen([sys.executable, "-c", SLEEPER])
        threading.Thread(target=process.wait).start()
        record = {"name": "a", "pid": process.pid, "identity": processes.identity(process.pid)}
        said = []
        end_leftovers([record], 5.0, said.append)
        assert gone((record["pid"], record["identity"])) and "a: ends" in said[0]
