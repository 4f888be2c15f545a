import os
import signal

from lazward.cli import datadir, processes
from lazward.domain.layout import Layout


class TestDown:
    def test_nothing_to_stop(self, install):
        assert "No server runs" in install("down").stdout

    def test_stops_it(self, install):
        install.start()
        supervisor = install.supervisor()
        identity = processes.identity(supervisor)
        assert "Running jobs go on" in install("down").stdout
        assert not processes.is_same(supervisor, identity)
        assert install.status(code=3)["state"] == "stopped"

    def test_ends_what_a_killed_supervisor_left(self, install, wait_for):
        install.start()
        gateway = install.part("gateway")
        os.kill(install.supervisor(), signal.SIGKILL)
        wait_for(lambda: datadir.holder(Layout(str(install.data_dir))) is None)
        assert "gateway: ends" in install("down").stdout
        assert not processes.is_same(gateway["pid"], gateway["identity"])
        assert install.status(code=3)["state"] == "stopped"

    def test_a_data_dir_in_use_by_something_else_is_not_killed(self, install):
        layout = Layout(str(install.data_dir))
        datadir.prepare(layout)
        lock = datadir.lock(layout)
        try:
            done = install("down", code=1)
        finally:
            lock.release_in_this_process()
        assert f"process {os.getpid()}" in done.stderr
