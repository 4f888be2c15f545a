"""No order of writes, copies and deletions loses bytes that are needed or keeps bytes that are not."""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.storage.blobs import containers, metadata, references
from lazward.storage.blobs.metadata import Draft
from lazward.storage.blobs.records import BlobKey, get
from lazward.storage.db import Database
from lazward.storage.tables import metadata as tables

NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    db = Database(f"sqlite:///{tmp_path_factory.mktemp('references')}/r.db")
    tables.create_all(db.engine)
    yield db
    db.close()


STEP = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(NAMES), st.integers(0, 3)),
    st.tuples(st.just("copy"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("twice"), st.sampled_from(NAMES), st.integers(1, 3)),
    st.tuples(st.just("keep"), st.sampled_from(NAMES), st.integers(0, 2)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.just(0)),
)


@settings(deadline=None, max_examples=120)
@given(st.lists(STEP, max_size=14))
def test_dropped_is_exactly_what_no_blob_refers_to(shared, steps):
    account = uuid.uuid4().hex
    everything: set[str] = set()
    shared.write_now(containers.ensure, account, "cont", 1.0)

    def fresh(count):
        made = [(uuid.uuid4().hex, 1) for _ in range(count)]
        everything.update(id for id, _ in made)
        return made

    for verb, name, detail in steps:
        key = BlobKey(account, "cont", name)
        old = shared.read_now(get, key, whole=True)
        if verb == "put":
            shared.write_now(metadata.put, key, Draft(extents=fresh(detail)), 1.0)
        elif verb == "twice":  # a block list may name a block again and again
            shared.write_now(metadata.put, key, Draft(extents=fresh(1) * detail), 1.0)
        elif verb == "keep" and old:  # and keep some of what it had
            shared.write_now(metadata.put, key, Draft(extents=[*old.extents[detail:], *fresh(1), *old.extents[:detail]]), 1.0)
        elif verb == "copy" and old:
            target = BlobKey(account, "cont", detail)
            shared.write_now(metadata.copy, key, target, 1.0, lambda found: Draft(), lambda found: None)
        elif verb == "delete":
            shared.write_now(metadata.delete, key, 1.0)
    live = set()
    for name in NAMES:
        found = shared.read_now(get, BlobKey(account, "cont", name), whole=True)
        live.update(id for id, _ in found.extents) if found else None
    dropped = set(shared.read_now(references.dropped, 2.0, 1_000_000)) & everything
    assert dropped == everything - live


def test_a_copy_outlives_its_source(shared):
    account = uuid.uuid4().hex
    shared.write_now(containers.ensure, account, "cont", 1.0)
    a, b = BlobKey(account, "cont", "a"), BlobKey(account, "cont", "b")
    id = uuid.uuid4().hex
    shared.write_now(metadata.put, a, Draft(extents=[(id, 5)]), 1.0)
    shared.write_now(metadata.copy, a, b, 1.0, lambda found: Draft(), lambda found: None)
    shared.write_now(metadata.delete, a, 1.0)
    assert id not in shared.read_now(references.dropped, 2.0, 1_000_000)
    shared.write_now(metadata.delete, b, 1.0)
    assert id in shared.read_now(references.dropped, 2.0, 1_000_000)
