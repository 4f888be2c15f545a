import uuid

import pytest

from lazward.contract.errors import ArmError
from lazward.domain.blobs import leases
from lazward.domain.blobs.conditions import Conditions
from lazward.storage.blobs import containers, metadata
from lazward.storage.blobs.metadata import Draft
from lazward.storage.blobs.records import BlobKey, need

KEY = BlobKey("acct1", "cont1", "a")
ID = str(uuid.UUID(int=7))


@pytest.fixture
def made(db, clock):
    db.write_now(containers.create, "acct1", "cont1", {}, clock())
    return db.write_now(metadata.put, KEY, Draft(extents=[("e" * 32, 3)], meta={"x": "1"}), clock())


def lease(db, clock, seconds=15):
    return db.write_now(metadata.lease, KEY, lambda old: leases.acquire(old, ID, seconds, clock()))


def code(fn, *args, **kwargs):
    with pytest.raises(ArmError) as caught:
        fn(*args, **kwargs)
    return caught.value.code


class TestLeases:
    def test_every_write_asks_for_it(self, db, clock, made):
        lease(db, clock)
        held, other = Conditions(lease=ID), Conditions(lease=str(uuid.UUID(int=8)))
        for doing in (
            lambda wanted: db.write_now(metadata.put, KEY, Draft(), clock(), wanted),
            lambda wanted: db.write_now(metadata.change, KEY, lambda info: None, clock(), wanted),
            lambda wanted: db.write_now(metadata.copy, KEY, KEY, clock(), lambda info: Draft(), lambda info: None, wanted),
            lambda wanted: db.write_now(metadata.delete, KEY, clock(), wanted),
        ):
            assert code(doing, Conditions()) == "LeaseIdMissing"
            assert code(doing, other) == "LeaseIdMismatchWithBlobOperation"
            assert doing(held)

    def test_it_survives_an_overwrite_and_not_its_time(self, db, clock, made):
        lease(db, clock)
        assert db.write_now(metadata.put, KEY, Draft(), clock(), Conditions(lease=ID)).lease["id"] == ID
        clock.forward(16)
        assert db.write_now(metadata.put, KEY, Draft(), clock()).lease is None

    def test_acquiring_changes_neither_etag_nor_time(self, db, clock, made):
        clock.forward(9)
        leased = lease(db, clock)
        assert (leased.etag, leased.modified) == (made.etag, made.modified)

    def test_of_a_container_guard_its_deletion(self, db, clock, made):
        db.write_now(containers.lease, "acct1", "cont1", lambda old: leases.acquire(old, ID, -1, clock()))
        assert code(db.write_now, containers.delete, "acct1", "cont1", clock()) == "LeaseIdMissing"
        db.write_now(metadata.put, KEY, Draft(), clock())  # not what is in it
        db.write_now(containers.delete, "acct1", "cont1", clock(), Conditions(lease=ID))


class TestChange:
    def test_gives_a_new_etag_unless_quiet(self, db, clock, made):
        clock.forward(1)

        def edit(info):
            info.meta = {"y": "2"}

        changed = db.write_now(metadata.change, KEY, edit, clock())
        assert changed.etag != made.etag
        assert changed.modified == clock()
        assert db.write_now(metadata.change, KEY, edit, clock() + 9, quiet=True).etag == changed.etag
        stored = db.read_now(need, KEY, whole=True)
        assert (stored.meta, stored.extents) == ({"y": "2"}, [("e" * 32, 3)])

    def test_conditions(self, db, clock, made):
        assert code(db.write_now, metadata.change, KEY, lambda info: None, clock(), Conditions(if_match=("0xB",))) == "ConditionNotMet"
        assert code(db.write_now, metadata.delete, KEY, clock(), Conditions(if_match=("0xB",))) == "ConditionNotMet"
        assert db.write_now(metadata.delete, KEY, clock(), Conditions(if_match=(made.etag,)))


class TestKinds:
    def test_a_folder_is_no_file(self, db, clock, made):
        folder = BlobKey("acct1", "cont1", "d")
        db.write_now(metadata.put, folder, Draft("Directory"), clock())
        assert code(db.write_now, metadata.put, folder, Draft(), clock()) == "PathConflict"
        assert code(db.write_now, metadata.put, KEY, Draft("Directory"), clock()) == "PathConflict"


class TestCopy:
    def test_a_missing_source(self, db, clock, made):
        nothing = BlobKey("acct1", "cont1", "nothing")
        assert code(db.write_now, metadata.copy, nothing, KEY, clock(), lambda info: Draft(), lambda info: None) == "CannotVerifyCopySource"

    def test_onto_itself_keeps_the_bytes(self, db, clock, made):
        copied = db.write_now(metadata.copy, KEY, KEY, clock(), lambda info: Draft(meta={"z": "1"}), lambda info: None)
        assert (copied.extents, copied.meta) == (made.extents, {"z": "1"})
        db.write_now(metadata.delete, KEY, clock())
