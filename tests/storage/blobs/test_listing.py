"""Listing against the plain definition of it: sort all names, fold, cut into pages."""

import uuid

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.domain.blobs.names import folded
from lazward.storage.blobs import listing
from lazward.storage.blobs.records import BlobInfo
from lazward.storage.db import Database
from lazward.storage.tables import blob, container, metadata

NAME = st.text(st.sampled_from("ab/-.é\U0010ffff"), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    db = Database(f"sqlite:///{tmp_path_factory.mktemp('listing')}/l.db")
    metadata.create_all(db.engine)
    yield db
    db.close()


def fill(db, names):
    where = uuid.uuid4().hex
    rows = [
        {"account": "a", "container": where, "name": name, "kind": "BlockBlob", "size": 1, "etag": "e", "extents": [["x", 1]], "blocks": None, "headers": {},
         "meta": {}, "tags": None, "access": None, "lease": None, "created": 0.0, "modified": 0.0}
        for name in names
    ]

    def insert(tx):
        tx.execute(sa.insert(container).values(account="a", name=where, etag="e", meta={}, modified=0.0))
        if rows:
            tx.execute(sa.insert(blob), rows)

    db.write_now(insert)
    return where


def plainly(names, prefix, delimiter, start_from=""):
    out = []
    for name in sorted(names):
        if name.startswith(prefix) and name >= start_from:
            shown = folded(name, prefix, delimiter) or name
            if not out or out[-1] != shown:
                out.append(shown)
    return out


def walk(db, where, prefix, delimiter, limit, start_from=""):
    out, after = [], ""
    while True:
        page = db.read_now(listing.page, "a", where, prefix, delimiter, after, limit, start_from=start_from)
        entries = sorted([info.name for info in page.blobs] + page.prefixes)
        assert len(entries) <= limit
        assert len(entries) == limit or not page.next_marker
        out += entries
        if not (after := page.next_marker):
            return out


@settings(deadline=None, max_examples=150)
@given(st.sets(NAME, max_size=25), st.sampled_from(["", "a", "a/", "a/b", "é", "/", "\U0010ffff"]), st.sampled_from(["", "/", "b", "/-"]), st.integers(1, 6), st.sampled_from(["", "a/", "b"]))
def test_pages_together_are_the_whole(shared, names, prefix, delimiter, limit, start_from):
    where = fill(shared, names)
    assert walk(shared, where, prefix, delimiter, limit, start_from) == plainly(names, prefix, delimiter, start_from)


def test_the_order_is_that_of_bytes_on_every_database(db):
    names = ["a", "B", "Z", "_", "a-b", "a/b", "ab", "Ä", "z", "\U0001f642", "\uffee"]
    where = fill(db, names)
    assert walk(db, where, "", "", 3) == sorted(names)
    assert walk(db, where, "a", "/", 2) == ["a", "a-b", "a/", "ab"]


def test_what_is_folded_away_is_not_walked(shared):
    where = fill(shared, [f"d{n}/{m:03}" for n in range(4) for m in range(1500)])
    statements = []
    sa.event.listen(shared.engine, "before_cursor_execute", lambda conn, cursor, statement, *rest: statements.append(statement))
    page = shared.read_now(listing.page, "a", where, "", "/", "", 10)
    assert page.prefixes == ["d0/", "d1/", "d2/", "d3/"]
    assert len(statements) <= 7


def test_entries_are_light_unless_asked(shared):
    where = fill(shared, ["a"])
    (light,) = shared.read_now(listing.page, "a", where).blobs
    (whole,) = shared.read_now(listing.page, "a", where, whole=True).blobs
    assert isinstance(light, BlobInfo)
    assert (light.extents, whole.extents) == ([], [("x", 1)])
