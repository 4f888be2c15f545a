import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.cli import part as module
from lazward.cli import processes
from lazward.cli.part import GOOD_PERIOD, LISTEN_FD, MAX_DELAY, ChildSpec, Part, backoff
from lazward.cli.ports import Listener


def part(tmp_path, code, **more):
    return Part(ChildSpec("a", (sys.executable, "-c", code), dict(os.environ), tmp_path / "a.log", tmp_path, **more))


def end(one):
    _, status = os.waitpid(one.pid, 0)
    one.ended(status)


class TestBackoff:
    @given(st.integers(1, 10_000))
    def test_grows_up_to_its_limit(self, failures):
        assert 0 < backoff(failures) <= backoff(failures + 1) <= MAX_DELAY

    def test_the_first_restart_comes_at_once(self):
        assert backoff(1) == 0.1


class TestStartAndEnd:
    @pytest.mark.parametrize(("code", "reason"), [
        ("import sys; print('cause', file=sys.stderr); sys.exit(5)", "exit code 5 after 0 s; last line of its log: cause"),
        ("print('bye')", "exit code 0 after 0 s; last line of its log: bye"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL after 0 s"),
        ("import os; os.kill(os.getpid(), 40)", "killed by signal 40 after 0 s"),
    ])
    def test_says_how_and_why(self, tmp_path, code, reason, monkeypatch):
        monkeypatch.setattr(module, "duration", lambda seconds: "0 s")
        (tmp_path / "a.log").write_text("a line of an earlier one\n")
        one = part(tmp_path, code)
        one.start()
        assert one.state == "running" and processes.is_same(one.pid, one.identity)
        end(one)
        assert (one.state, one.last_error, one.restarts, one.alive) == ("waiting", reason, 1, False)

    def test_a_good_period_forgives_earlier_failures(self, tmp_path, monkeypatch):
        one = part(tmp_path, "")
        for _ in range(3):
            one.start()
            end(one)
        assert one.failures == 3
        one.start()
        one._began -= GOOD_PERIOD
        end(one)
        assert (one.failures, one.restarts) == (1, 4)

    def test_when_it_was_told_to_stop_it_is_no_failure(self, tmp_path):
        one = part(tmp_path, "import signal; signal.pause()")
        one.start()
        one.state = "stopping"
        one.signal(signal.SIGTERM)
        end(one)
        assert (one.state, one.last_error, one.restarts) == ("stopped", "", 0)

    def test_inherits_the_socket(self, tmp_path):
        listener = Listener("127.0.0.1", 0)
        code = f"import os, socket; print(socket.socket(fileno=int(os.environ['{LISTEN_FD}'])).getsockname())"
        one = part(tmp_path, code, listener=listener)
        one.start()
        end(one)
        assert (tmp_path / "a.log").read_text().strip() == str(listener._sock.getsockname())
        listener.close()

    def test_has_no_other_descriptors_and_a_session_of_its_own(self, tmp_path):
        with open(tmp_path / "secret", "w") as secret:
            os.set_inheritable(secret.fileno(), True)
            one = part(tmp_path, f"import os; print(os.getsid(0) == os.getpid()); os.fstat({secret.fileno()})")
            one.start()
            end(one)
        assert "Bad file descriptor" in one.last_error
        assert (tmp_path / "a.log").read_text().startswith("True")

    def test_its_environment_is_the_given_one_alone(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SECRET_OF_THE_SHELL", "x")
        one = Part(ChildSpec("a", (sys.executable, "-c", "import os; print(sorted(os.environ))"), {"A": "1", "LC_ALL": "C"}, tmp_path / "a.log", tmp_path))
        one.start()
        end(one)
        assert (tmp_path / "a.log").read_text().strip() == "['A', 'LC_ALL']"


class TestAdopt:
    def test_watches_a_process_it_did_not_start(self, tmp_path):
        other = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        record = {"pid": other.pid, "identity": processes.identity(other.pid), "since": 5.0, "restarts": 2, "last_error": "x"}
        one = part(tmp_path, "")
        one.adopt(record)
        assert (one.state, one.since, one.restarts, one.vanished()) == ("running", 5.0, 2, False)
        one.signal(signal.SIGTERM)
        other.wait()
        assert one.vanished()
        one.ended(None)
        assert (one.state, one.restarts) == ("waiting", 3)

    def test_does_not_signal_a_stranger_with_its_pid(self, tmp_path):
        one = part(tmp_path, "")
        one.adopt({"pid": os.getpid(), "identity": "another boot:1", "since": 0.0, "restarts": 0, "last_error": ""})
        one.signal(signal.SIGKILL)  # it would end this test run
        assert one.vanished()


class TestFingerprint:
    def test_follows_the_arguments(self, tmp_path):
        assert part(tmp_path, "1").spec.fingerprint == part(tmp_path, "1").spec.fingerprint != part(tmp_path, "2").spec.fingerprint
