"""What an importer reads of this machine's folders: never more than lies in the one that was named (S3)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lazward.cli.moving.local_files import files_below, inside, path_of


@pytest.fixture
def root(tmp_path) -> Path:
    made = tmp_path / "artifacts"
    (made / "1" / "r" / "artifacts" / "a b").mkdir(parents=True)
    (made / "1" / "r" / "artifacts" / "a b" / "é.txt").write_bytes(b"data")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "artifacts-not").mkdir()
    return made


@pytest.mark.parametrize("uri", [
    "mlflow-artifacts:/1/r/artifacts", "mlflow-artifacts://host:5000/1/r/artifacts", "file://{root}/1/r/artifacts", "{root}/1/r/artifacts", "{root}/1/../1/r/artifacts",
])
def test_places_inside(root, uri):
    assert path_of(uri.format(root=root), root) == root / "1" / "r" / "artifacts"


@pytest.mark.parametrize("uri", [
    "mlflow-artifacts:/../secret", "mlflow-artifacts:/1/%2e%2e/%2e%2e/secret", "mlflow-artifacts:/..", "/etc", "file:///etc", "file://{root}/../secret", "{root}-not", "s3://bucket/x",
    "file://host/etc", "http://x/y", "{root}/link/x",
])
def test_places_outside(root, uri):
    (root / "link").symlink_to(root.parent)
    assert path_of(uri.format(root=root), root) is None


def test_links_and_pipes_are_not_read(root):
    folder = root / "1" / "r" / "artifacts"
    (folder / "link.txt").symlink_to(root.parent / "secret")
    (folder / "folder").symlink_to(root.parent)
    os.mkfifo(folder / "pipe")
    (found,) = files_below(folder, "run", "r")
    assert (found.path, found.size, b"".join(found.read())) == ("a b/é.txt", 4, b"data")
    assert inside(root, folder / "folder") is None
