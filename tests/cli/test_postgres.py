import json
import os
import stat
import sys

import pytest

from lazward.cli import postgres
from lazward.cli.output import CliError

URL = "postgresql+psycopg://user:p%40ss:w@host:5432/db?sslmode=require"


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """pg_dump and pg_restore that write down how they were called. (The real ones: tests/cli/test_restore.py.)"""
    for name in ("pg_dump", "pg_restore"):
        path = tmp_path / name
        path.write_text(
            f"#!{sys.executable}\nimport json, os, sys\njson.dump([sys.argv[1:], os.environ.get('PGPASSWORD')], open({str(tmp_path / 'called')!r}, 'w'))\n"
            "sys.stderr.write('could not\\nconnect'); sys.exit(int(os.environ.get('LAZWARD_TEST_EXIT', 0)))"
        )
        path.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    return lambda: json.loads((tmp_path / "called").read_text())


class TestS16ThePasswordIsNoArgument:
    @pytest.mark.parametrize("call", [postgres.dump, postgres.load])
    def test_it_goes_by_environment(self, tools, tmp_path, call):
        call(URL, tmp_path / "file")
        argv, password = tools()
        assert "--dbname=postgresql://user@host:5432/db?sslmode=require" in argv
        assert password == "p@ss:w" and "p%40ss" not in " ".join(argv)

    def test_no_password_no_variable(self, tools, tmp_path):
        postgres.dump("postgresql://host/db", tmp_path / "file")
        assert tools()[1] is None


class TestFailures:
    def test_are_quoted_in_one_line(self, tools, tmp_path, monkeypatch):
        monkeypatch.setenv("LAZWARD_TEST_EXIT", "1")
        with pytest.raises(CliError, match="pg_dump failed: could not connect"):
            postgres.dump(URL, tmp_path / "file")

    def test_a_missing_program_is_named(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(CliError, match="pg_restore is not installed"):
            postgres.load(URL, tmp_path / "file")

    def test_a_database_out_of_reach(self):
        with pytest.raises(CliError, match="cannot be reached"):
            postgres.check_empty("postgresql+psycopg://u:p@127.0.0.1:1/db")
