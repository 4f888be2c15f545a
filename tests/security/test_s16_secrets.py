"""S16: a secret is told to who asks for it by its own call, and stands nowhere else: not in a document, a log, a command line, an error,
the database or a job's files. More: tests/apps/test_identity_security.py (codes and tokens), tests/storage/test_secrets.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from lazward.storage.tables import metadata
from tests.control_plane import versioned
from tests.security.site import Site
from tests.security.test_s21_sockets import processes_of
from tests.security.whole import Whole

MARK = "opensesame-0123456789"
whole_group = pytest.mark.xdist_group("whole")


@whole_group
def test_s16_no_log_holds_a_secret(whole: Whole):
    """At the log level debug, after every secret was used."""
    logs = whole.logs
    assert any(name.startswith("logs/control") for name in logs) and any("inference-server" in name for name in logs)
    for name, text in logs.items():
        for what, secret in whole.secrets.items():
            assert secret not in text, (what, name)
        assert "sig=" not in text, name


@whole_group
def test_s16_no_answer_holds_a_secret(whole: Whole):
    for path, body in whole.answers:
        for what, secret in whole.secrets.items():
            assert secret.encode() not in body, (what, path)


@whole_group
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_s16_no_command_line_holds_a_secret(whole: Whole):
    lines = processes_of(whole)
    assert len(lines) >= 5
    for pid, line in lines.items():
        for what, secret in whole.secrets.items():
            assert secret not in line, (what, pid, line)


@whole_group
def test_s16_no_file_holds_a_secret_in_the_clear(whole: Whole):
    """The whole data dir, byte by byte: database and its log, blobs, gateway, records of launches. What has to hold one is named."""
    root = whole.server.data_dir
    allowed = {
        "principal secret": {"keys/principal.json"}, "identity header": {"keys/principal.json"},
        "endpoint": {"gateway/rds.json"},  # Envoy compares with it; the file is private
    }
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in ("envs",)]
        for name in files:
            path = Path(folder) / name
            where = path.relative_to(root).as_posix()
            if not path.is_file():
                continue
            raw = path.read_bytes()
            for what, secret in whole.secrets.items():
                if secret.encode() in raw:
                    assert where in allowed.get(what, ()), (what, where)


@whole_group
def test_s16_a_job_and_a_model_get_nothing_of_the_servers(whole: Whole):
    for given in (whole.job["environ"], whole.payloads[0]["environ"]):
        for what, secret in whole.secrets.items():
            if not what.startswith("job's"):
                assert secret not in " ".join(given.values()), what
        assert not {name for name in given if name.startswith(("LAZWARD_RESOLVED", "LAZWARD_LISTEN", "AWS_", "SECRET_"))}


def test_s16_secrets_never_come_into_the_database_in_the_clear(site: Site):
    """Not even for a moment: SQLite leaves what was written over in the file, PostgreSQL in dead rows."""
    plane = site.plane
    store, connection, endpoint = f"{site.own}/datastores/sealed", f"{site.own}/connections/sealed", f"{site.own}/onlineEndpoints/sealed"
    for change in ("", "2"):
        mark = MARK + change
        credentials = {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": mark}}
        plane.put(store, {"properties": {"datastoreType": "AzureBlob", "accountName": "elsewhere", "containerName": "c", "credentials": credentials}})
        plane.put(connection, {"properties": {"category": "ApiKey", "authType": "ApiKey", "target": "t", "credentials": {"key": mark}}})
        plane.put(endpoint, {"location": "local", "properties": {"authMode": "Key", "keys": {"primaryKey": mark, "secondaryKey": mark}}})
        plane.settle()
    # The credentials of a type beside `secrets`, as some clients write them.
    plane.put(f"{site.own}/datastores/loose", {"properties": {"datastoreType": "AzureBlob", "accountName": "elsewhere", "containerName": "c", "credentials": {"credentialsType": "Sas", "sasToken": MARK}}})
    plane.send("PATCH", versioned(connection), {"properties": {"credentials": {"key": MARK}}})
    told = plane.send("POST", versioned(f"{store}/listSecrets"), {}).json["key"], plane.send("POST", versioned(f"{connection}/listsecrets"), {}).json["properties"]["credentials"]["key"]
    assert told == (MARK + "2", MARK)
    dump = "".join(str(plane.db.read_now(lambda tx, t=t: tx.execute(sa.select(t)).all())) for t in metadata.sorted_tables)
    assert MARK not in dump
    if plane.kind == "sqlite":
        for path in Path(str(plane.db.engine.url.database)).parent.glob("*.db*"):
            assert MARK.encode() not in path.read_bytes(), path
    for path in (store, connection, endpoint, f"{site.own}/datastores", f"{site.own}/connections", f"{site.own}/onlineEndpoints", f"{site.own}/datastores/loose"):
        assert MARK.encode() not in plane.send("GET", versioned(path)).body


def test_s16_errors_and_logs_do_not_repeat_what_was_secret(site: Site, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    plane, bad = site.plane, {"properties": {"category": "ApiKey", "authType": 7, "target": "t", "credentials": {"key": MARK}}}
    bodies = [plane.send("PUT", versioned(f"{site.own}/connections/x"), bad).body, plane.send("GET", versioned(site.own), token=MARK).body]
    bodies.append(plane.send("PUT", versioned(f"{site.own}/datastores/x"), {"properties": {"datastoreType": "No", "credentials": {"secrets": {"key": MARK}}}}).body)
    bodies.append(plane.send("PUT", versioned(f"{site.own}/onlineEndpoints/x"), {"properties": {"authMode": "Key", "keys": {"primaryKey": f"{MARK} with blanks"}}}).body)
    bodies.append(plane.send("GET", f"/{site.account(site.own)}.blob.core.windows.net/c/b?sv=2023-11-03&sr=b&sp=r&se=2099-01-01&sig={MARK}", token="").body)
    form = f"grant_type=client_credentials&client_id=x&client_secret={MARK}&scope=a/.default".encode()
    bodies.append(plane.send("POST", f"/{site.authority.tenant}/oauth2/v2.0/token", form, token="", headers={"content-type": "application/x-www-form-urlencoded"}).body)

    def fail(tx: object) -> None:
        tx.execute(sa.text("insert into nowhere values (:secret)"), {"secret": MARK})  # type: ignore[attr-defined]

    with pytest.raises(sa.exc.DBAPIError) as failed:
        plane.db.write_now(fail)
    for text in (*map(bytes.decode, bodies), str(failed.value), caplog.text):
        assert MARK not in text
