import pytest
from hypothesis import settings

from lazward.storage.blobs.extents import Extents
from lazward.storage.blobs.store import BlobStore

settings.register_profile("blobs", deadline=None, max_examples=40)

ACCOUNT, CONTAINER = "acct1", "cont1"


@pytest.fixture(params=["local", "memory"])
def extents(request, tmp_path):
    made = Extents.from_url(str(tmp_path / "extents") if request.param == "local" else "memory://")
    yield made
    made.close()


@pytest.fixture
def local(tmp_path):
    made = Extents.from_url(f"file://{tmp_path}/extents")
    yield made
    made.close()


@pytest.fixture
async def store(db, local, clock):
    made = BlobStore(db, local, clock)
    await made.ensure_container(ACCOUNT, CONTAINER)
    return made


@pytest.fixture
async def any_store(db, extents, clock):
    made = BlobStore(db, extents, clock)
    await made.ensure_container(ACCOUNT, CONTAINER)
    return made


@pytest.fixture
def stored(local):
    """The ids of the extents that are on disk."""
    def ids():
        return {path.name for path in local.folder.rglob("*") if path.is_file()}

    return ids
