import datetime as dt
import json
import os
import sqlite3
import stat
import tarfile
import threading

import pytest

from lazward.cli import datadir
from lazward.cli.archive import MANIFEST
from lazward.cli.ports import any_free
from lazward.domain.layout import Layout
from lazward.identity.ca import ensure_certificates
from lazward.identity.master_key import ensure_master_key


def state(install):
    """A stopped server's data dir with some state in it."""
    layout = Layout(str(install.data_dir))
    datadir.prepare(layout)
    ensure_certificates(layout.keys, "localhost", dt.datetime.now(dt.UTC))
    ensure_master_key(layout.master_key)
    datadir.write_json(layout.principal_file, {"secret": "x"})
    port, gateway_port = any_free("127.0.0.1"), any_free("127.0.0.1")
    datadir.write_endpoint(layout, datadir.Endpoint("127.0.0.1", port, gateway_port, "localhost", f"https://localhost:{port}/", "u"))
    with sqlite3.connect(install.data_dir / "lazward.db") as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (n INTEGER)")
        db.execute("INSERT INTO t VALUES (42)")
    db.close()
    (install.data_dir / "blobs" / "ab").mkdir()
    (install.data_dir / "blobs" / "ab" / "extent").write_bytes(b"bytes")
    (install.data_dir / "settings.toml").write_text('location = "attic"\n')
    (install.data_dir / "jobs" / "work").write_text("not in a backup")


def names(path):
    with tarfile.open(path) as tar:
        return set(tar.getnames())


class TestBackup:
    def test_holds_the_state_and_nothing_else(self, install, tmp_path):
        state(install)
        done = install("backup", str(tmp_path / "b.tar"))
        found = names(tmp_path / "b.tar")
        assert found >= {"database.sqlite", "blobs/ab/extent", "settings.toml", "endpoint.json", "keys/ca.key", "keys/master.key", "keys/principal.json"}
        assert not any(name.startswith(("run/", "logs/", "jobs/", "envs/")) or "lazward.db" in name for name in found)
        assert "keep it as safe as the server" in done.stdout
        assert stat.S_IMODE((tmp_path / "b.tar").stat().st_mode) == 0o600

    def test_while_the_server_runs_and_writes(self, install, tmp_path):
        """The snapshot is one moment: of two tables that are always written together, never one without the other."""
        state(install)
        install("up", "--detach")
        path = install.data_dir / "lazward.db"
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE a (n INTEGER)")
            db.execute("CREATE TABLE b (n INTEGER)")
        db.close()
        stop = threading.Event()

        def write():
            with sqlite3.connect(path, timeout=30) as db:
                number = 0
                while not stop.is_set():
                    number += 1
                    db.execute("INSERT INTO a VALUES (?)", (number,))
                    db.execute("INSERT INTO b VALUES (?)", (number,))
                    db.commit()
            db.close()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            install("backup", str(tmp_path / "b.tar"))
        finally:
            stop.set()
            writer.join()
        with tarfile.open(tmp_path / "b.tar") as tar:
            (tmp_path / "copy.db").write_bytes(tar.extractfile("database.sqlite").read())
        with sqlite3.connect(tmp_path / "copy.db") as copy:
            a, b = (copy.execute(f"SELECT max(n), count(*) FROM {name}").fetchone() for name in "ab")
            assert a == b and a[0] == a[1]
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        copy.close()
        assert install.status()["state"] == "running"

    def test_blobs_in_a_bucket_are_named_and_not_copied(self, install, tmp_path):
        state(install)
        done = install("backup", str(tmp_path / "b.tar"), "--set", "storage_url=s3://bucket/x")
        assert "s3://bucket/x" in done.stderr
        assert not any(name.startswith("blobs/") for name in names(tmp_path / "b.tar"))

    @pytest.mark.parametrize("file", ["exists.tar", "missing/b.tar"])
    def test_where_it_cannot_be_written(self, install, tmp_path, file):
        state(install)
        (tmp_path / "exists.tar").write_text("precious")
        install("backup", str(tmp_path / file), code=1)
        assert (tmp_path / "exists.tar").read_text() == "precious"

    def test_of_nothing(self, install, tmp_path):
        assert "no Lazward state" in install("backup", str(tmp_path / "b.tar"), code=1).stderr
        assert not (tmp_path / "b.tar").exists()

    def test_a_database_that_is_none_is_said_and_leaves_nothing(self, install, tmp_path):
        state(install)
        for suffix in ("", "-wal", "-shm"):
            (install.data_dir / f"lazward.db{suffix}").unlink(missing_ok=True)
        (install.data_dir / "lazward.db").write_bytes(b"x" * 10000)
        assert "cannot be copied" in install("backup", str(tmp_path / "b.tar"), code=1).stderr
        assert [p for p in os.listdir(tmp_path) if "b.tar" in p] == []
        assert [p for p in os.listdir(install.data_dir / "run") if p.startswith("backup")] == []

    def test_the_manifest_is_last(self, install, tmp_path):
        state(install)
        install("backup", str(tmp_path / "b.tar.gz"))
        with tarfile.open(tmp_path / "b.tar.gz") as tar:
            members = tar.getnames()
            listed = json.loads(tar.extractfile(MANIFEST).read())["files"]
        assert members[-1] == MANIFEST and [f["name"] for f in listed] == members[1:-1]
