"""Dumps and restores a PostgreSQL database with PostgreSQL's own programs. The password goes by environment, never by argument."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from lazward.cli.output import fail


def dump(database_url: str, target: Path) -> None:
    """A consistent snapshot, taken while the server runs, in pg_dump's custom format."""
    _run("pg_dump", ["--format=custom", "--no-owner", "--no-privileges", f"--file={target}"], database_url)


def load(database_url: str, source: Path) -> None:
    """Restores into an empty database, all or nothing."""
    _run("pg_restore", ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", str(source)], database_url)


def check_empty(database_url: str) -> None:
    """Ends the command where the database already holds tables."""
    try:
        import psycopg
    except ImportError:
        fail("PostgreSQL needs the package psycopg, which is not installed.", "pip install 'lazward[postgres]'")
    name, password = _without_password(database_url)
    try:
        with psycopg.connect(name, password=password) as connection:
            row = connection.execute("select count(*) from information_schema.tables where table_schema = current_schema()").fetchone()
    except psycopg.Error as error:
        fail(f"The database cannot be reached: {' '.join(str(error).split())}", "Check database_url.")
    if row and row[0]:
        fail(f"The database already holds {row[0]} tables.", "Restore into an empty one: CREATE DATABASE ..., and name it with --database-url.")


def _run(program: str, arguments: list[str], database_url: str) -> None:
    found = shutil.which(program)
    if found is None:
        fail(f"{program} is not installed; a PostgreSQL database is backed up and restored with it.", "Install PostgreSQL's client programs, of the server's version or newer.")
    name, password = _without_password(database_url)
    env = dict(os.environ) | ({"PGPASSWORD": password} if password else {})
    done = subprocess.run([found, f"--dbname={name}", "--no-password", *arguments], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        fail(f"{program} failed: {' '.join(done.stderr.split())[:600] or done.returncode}", "Check database_url, and that the program is not older than the server.")


def _without_password(database_url: str) -> tuple[str, str | None]:
    """The URL as libpq takes it, and the password apart."""
    parts = urlsplit(database_url.replace("postgresql+psycopg://", "postgresql://", 1))
    user, at, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    return urlunsplit(parts._replace(netloc=name + at + host)), unquote(password) if password else None
