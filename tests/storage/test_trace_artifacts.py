from __future__ import annotations

import sqlalchemy as sa

from lazward.storage import tables, traces
from lazward.storage.blobs.local_extents import LocalExtents
from lazward.storage.blobs.store import BlobStore
from tests.storage.trace_data import id_of, start
from tests.storage.tracking_data import KEY, NOW, make_workspaces


async def test_artifacts_go_with_their_trace_bytes_and_all(db, tmp_path, clock):
    make_workspaces(db)
    blobs = BlobStore(db, LocalExtents(tmp_path / "extents"), clock)
    for account in ("stws", "stother"):
        await blobs.ensure_container(account, "azureml")
        for n in (1, 2):
            for name in ("traces.json", "attachments/a"):
                await blobs.put(account, "azureml", f"Traces/{id_of(n)}/{name}", b"x" * 100)
    await blobs.put("stws", "azureml", f"Traces/{id_of(1)}0/traces.json", b"of another")
    start(db, 1)
    assert db.write_now(traces.delete, KEY, "0", NOW, 10, ids=[id_of(1)]) == 1
    left = [b.name for b in (await blobs.list("stws", "azureml")).blobs]
    assert left == [f"Traces/{id_of(1)}0/traces.json", f"Traces/{id_of(2)}/attachments/a", f"Traces/{id_of(2)}/traces.json"]
    assert len((await blobs.list("stother", "azureml")).blobs) == 4
    dropped = db.read_now(lambda tx: tx.execute(sa.select(sa.func.count()).select_from(tables.extent).where(tables.extent.c.dropped.is_not(None))).scalar())
    assert dropped == 2, "their bytes are gc's"
    blobs.close()
