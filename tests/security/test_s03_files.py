"""S3: what a job leaves and registers stays in its own place. That no name or path of a client writes or deletes a file of the machine is
in test_s02_paths.py, with the reading; unpacking of backups in tests/cli/test_archive.py; from names to files in
tests/storage/blobs/test_materialize.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from lazward.contract.errors import ArmError
from lazward.contract.ids import ML, parse
from lazward.orchestration.job_finish import files_below, register_outputs
from lazward.storage import resources
from lazward.storage.tables import resource
from tests.control_plane import versioned
from tests.security.site import CURATED, Site, guid


def test_s3_what_a_job_leaves_is_what_lies_in_its_folder(tmp_path: Path):
    """Links that lead out are not followed: they would publish any file of the server's user."""
    root, secret = tmp_path / "outputs", tmp_path / "secret"
    (root / "sub").mkdir(parents=True)
    secret.write_text("secret")
    (root / "real.txt").write_text("x")
    (root / "inside").symlink_to(root / "real.txt")
    (root / "out").symlink_to(secret)
    (root / "up").symlink_to(tmp_path)
    (root / "sub" / "etc").symlink_to("/etc")
    (root / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(root / "pipe")
    assert [name for _, name in files_below(root)] == ["inside", "real.txt"]


@pytest.mark.parametrize("name", ["../x", "a/versions/9", f"x/providers/{ML}/workspaces/other", "x/../../jobs/y", "..", "a b", "/x", "a%2fb", ""])
def test_s3_what_a_job_registers_is_an_asset_of_its_workspace(site: Site, name: str):
    """assetName and assetVersion of an output become ids when the job ends."""
    plane = site.plane
    job = f"{site.own}/jobs/{guid()}"
    output = {"jobOutputType": "uri_folder", "uri": "azureml://datastores/workspaceblobstore/paths/x", "assetName": name or "fine", "assetVersion": "1" if name else "../2"}
    answer = plane.send("PUT", versioned(job), {"properties": {"jobType": "Command", "command": "echo", "environmentId": CURATED, "outputs": {"x": output}}})
    if answer.status == 400:
        return
    before = {row.key for row in every(plane)}
    job_row, home = plane.db.read_now(resources.get, job), plane.db.read_now(resources.get, site.own)
    assert job_row is not None and home is not None
    try:
        plane.db.write_now(register_outputs, job_row, home, job_caller(site), plane.clock())
    except ArmError:
        return
    for key in {row.key for row in every(plane)} - before:
        rid = parse(key)
        assert not rid.scope and rid.workspace.key == site.own.lower() and rid.type_path in ("workspaces/data", "workspaces/data/versions"), key
        assert "%" not in key and ".." not in key


def every(plane: Any) -> list[resources.Row]:
    return list(plane.db.read_now(lambda tx: tx.execute(sa.select(resource.c.key)).all()))


def job_caller(site: Site) -> Any:
    return site.authority.caller_of(site.people["boss"])
