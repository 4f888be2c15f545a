from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lazward.orchestration.job_prepare import remove_tree
from tests.orchestration.place import Place


@pytest.fixture
async def place(db) -> AsyncIterator[Place]:
    """Its folder has a short name, as sockets need."""
    folder = Path(tempfile.mkdtemp(prefix="lzo"))
    made = Place(db, folder)
    yield made
    await made.close()
    remove_tree(folder)
