import json
import os
import signal

from lazward.cli import datadir
from lazward.cli.status import describe, look
from lazward.domain.layout import Layout


class TestStatus:
    def test_each_part_of_a_running_server(self, install):
        install.start()
        report = install.status()
        assert (report["state"], report["health"], report["pid"]) == ("running", "ok", install.supervisor())
        assert [part["name"] for part in report["parts"]] == ["control", "worker", "gateway"]
        for part in report["parts"]:
            assert part["alive"] and part["state"] == "running" and part["restarts"] == 0 and part["since"] >= report["since"] - 5
        shown = install("status").stdout
        assert "Lazward is running" in shown and report["url"] in shown and "control" in shown

    def test_a_control_plane_that_hangs(self, install, monkeypatch):
        install.start()
        pid = install.part("control")["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            report = install.status(code=1)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert report["state"] == "degraded" and "timed out" in report["health"]

    def test_a_stopped_one_says_how_to_start(self, install):
        done = install("status", code=3)
        assert "stopped" in done.stdout and "lazward up" in done.stderr
        assert json.loads(install("status", "--json", code=3).stdout)["parts"] == []

    def test_one_that_is_just_starting(self, tmp_path):
        layout = Layout(str(tmp_path / "data"))
        datadir.prepare(layout)
        lock = datadir.lock(layout)
        report = look(layout, 0.0)
        lock.release_in_this_process()
        assert (report["state"], report["health"], report["pid"]) == ("degraded", "starting", os.getpid())

    def test_damaged_records_break_nothing(self, tmp_path):
        layout = Layout(str(tmp_path / "data"))
        datadir.prepare(layout)
        for content in ("", "{}", "[1]", '[{"name": "a", "pid": null}]'):
            layout.parts_file.write_text(content)
            assert look(layout, 0.0)["state"] == "stopped"


class TestDescribe:
    def test_the_last_error_and_where_its_log_is(self):
        part = {"name": "worker", "state": "waiting", "pid": 0, "since": 10.0, "restarts": 2, "last_error": "exit code 1 after 3 s", "log": "/d/worker.log", "alive": False}
        report = {"state": "degraded", "data_dir": "/d", "url": None, "gateway_url": None, "pid": 1, "since": 10.0, "health": "ok", "parts": [part]}
        shown = describe(report, 70.0)
        assert "Lazward is degraded for 1 min" in shown
        assert "worker: last error: exit code 1 after 3 s (log: /d/worker.log)" in shown
