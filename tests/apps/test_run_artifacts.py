from __future__ import annotations

import pytest

from lazward.apps.run_artifacts import RunArtifacts
from lazward.contract.mlflow import MlflowError
from tests.storage.tracking_data import KEY, OTHER, make_run


@pytest.fixture
async def store(app):
    make_run(app.db, "r1")
    return RunArtifacts(app.services)


async def test_files_and_folders(store):
    root = await store.root(KEY, "r1")
    assert await store.list(root, "") == []  # nothing was stored yet, not even a container
    for path in ("b", "a/x", "a/y/z", "ab"):
        await store.put(root, path, path.encode())
    assert [(e.path, e.is_dir) for e in await store.list(root, "")] == [("a", True), ("ab", False), ("b", False)]
    assert [e.path for e in await store.list(root, "a/")] == ["a/x", "a/y"]
    assert [e.path for e in (await store.files(root, "a", ""))[0]] == ["a/x", "a/y/z"]
    assert [e.path for e in (await store.files(root, "b", ""))[0]] == ["b"]
    assert (await store.find(root, "b")).size == 1
    assert b"".join([piece async for piece in store.read(root, "a/y/z")]) == b"a/y/z"
    await store.delete(root, "a")
    assert [e.path for e in (await store.files(root, "", ""))[0]] == ["ab", "b"]
    for path in ("a", "", "none"):
        with pytest.raises(MlflowError, match="not found"):
            await store.find(root, path)


async def test_roots_are_of_this_workspace(store):
    for workspace, name in ((OTHER.key, "r1"), (KEY, "none"), (KEY, "m:1"), (KEY, "../r1"), (KEY, "")):
        with pytest.raises(MlflowError):
            await store.root(workspace, name)


async def test_links_name_one_blob_and_end(store):
    root = await store.root(KEY, "r1")
    link = store.link(root, "a b#c.txt", "r")
    assert link.startswith("https://localhost:8443/stws.blob.core.windows.net/azureml/ExperimentRun/dcid.r1/a%20b%23c.txt?")
    for part in ("sp=r", "sr=b", "se=", "sig="):
        assert part in link
    with pytest.raises(MlflowError):
        store.link(root, "../x", "r")
