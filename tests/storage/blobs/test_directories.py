import uuid

import pytest

from lazward.contract.errors import ArmError
from lazward.domain.blobs import leases
from lazward.domain.blobs.conditions import ABSENT, NONE
from lazward.storage.blobs import containers, directories, listing, metadata
from lazward.storage.blobs.metadata import Draft
from lazward.storage.blobs.records import BlobKey


@pytest.fixture
def fs(db, clock):
    """Calls on one file system by path."""
    for name in ("cont1", "cont2"):
        db.write_now(containers.create, "acct1", name, {}, clock())

    class Fs:
        def key(self, path, container="cont1"):
            return BlobKey("acct1", container, path)

        def create(self, path, kind="BlockBlob", wanted=NONE):
            return db.write_now(directories.create, self.key(path), Draft(kind), clock(), wanted)

        def put(self, path):
            return db.write_now(metadata.put, self.key(path), Draft(extents=[(uuid.uuid4().hex, 1)]), clock())

        def rename(self, source, target, container="cont1", wanted=NONE):
            return db.write_now(directories.rename, self.key(source), self.key(target, container), clock(), wanted, lambda found: None)

        def names(self, container="cont1"):
            return [info.name for info in db.read_now(listing.page, "acct1", container).blobs]

        def find(self, path):
            return db.read_now(directories.find, self.key(path))

        def lease(self, path):
            db.write_now(metadata.lease, self.key(path), lambda old: leases.acquire(old, str(uuid.uuid4()), -1, clock()))

        def check_delete(self, path, recursive):
            return db.read_now(directories.check_delete, self.key(path), recursive, clock(), NONE)

    return Fs()


def code(fn, *args, **kwargs):
    with pytest.raises(ArmError) as caught:
        fn(*args, **kwargs)
    return caught.value.code


class TestCreate:
    def test_folders_above_come_with_it(self, fs):
        fs.create("a/b/c.txt")
        assert fs.names() == ["a", "a/b", "a/b/c.txt"]
        assert fs.find("a").meta == {"hdi_isfolder": "true"}

    def test_a_file_is_no_folder(self, fs):
        fs.create("a")
        assert code(fs.create, "a/b") == "PathConflict"
        assert code(fs.create, "a", "Directory") == "PathAlreadyExists"
        fs.create("d", "Directory")
        assert code(fs.create, "d") == "PathAlreadyExists"
        assert fs.names() == ["a", "d"]

    def test_a_folder_implied_by_blobs_is_there(self, fs):
        fs.put("d/x")
        assert code(fs.create, "d") == "PathAlreadyExists"
        assert code(fs.create, "d", "Directory", ABSENT) == "PathAlreadyExists"
        fs.create("d", "Directory")
        assert fs.names() == ["d", "d/x"]


class TestFind:
    def test_what_is_implied(self, fs):
        fs.put("d/e/x")
        assert fs.find("d").kind == fs.find("d/e").kind == "Directory"
        assert code(fs.find, "d/") == "BlobNotFound"
        assert code(fs.find, "d/f") == "BlobNotFound"


class TestRename:
    def test_a_folder_and_all_below_at_once(self, fs):
        fs.create("a/b/x")
        fs.put("a/b/é/y")
        fs.put("ab")
        fs.rename("a/b", "n/m")
        assert fs.names() == ["a", "ab", "n", "n/m", "n/m/x", "n/m/é/y"]

    def test_a_folder_that_is_only_implied(self, fs):
        fs.put("a/x")
        fs.rename("a", "b")
        assert fs.names() == ["b/x"]

    def test_into_another_file_system(self, fs):
        fs.put("a/x")
        fs.rename("a", "b", "cont2")
        assert (fs.names(), fs.names("cont2")) == ([], ["b/x"])

    def test_a_file_over_a_file(self, fs, db, clock):
        old, new = fs.put("a"), fs.put("b")
        assert fs.rename("b", "a").extents == []
        assert fs.names() == ["a"]
        assert db.read_now(directories.find, fs.key("a")).size == new.size
        assert old.etag != new.etag

    def test_what_may_not_be(self, fs):
        fs.create("d/x")
        fs.create("e/y")
        fs.put("f")
        assert code(fs.rename, "d", "d/x/z") == "InvalidRenameSourcePath"
        assert code(fs.rename, "d", "e") == "PathAlreadyExists"
        assert code(fs.rename, "f", "e") == "PathAlreadyExists"
        assert code(fs.rename, "d", "f") == "PathAlreadyExists"
        assert code(fs.rename, "nothing", "z") == "SourcePathNotFound"
        assert code(fs.rename, "f", "f/g") == "PathConflict"
        assert code(fs.rename, "f", "d", wanted=ABSENT) == "PathAlreadyExists"
        assert fs.names() == ["d", "d/x", "e", "e/y", "f"]

    def test_leases_hold_what_is_below(self, fs):
        fs.create("d/x")
        fs.lease("d/x")
        assert code(fs.rename, "d", "e") == "LeaseIdMissing"
        assert code(fs.check_delete, "d", True) == "LeaseIdMissing"
        assert fs.names() == ["d", "d/x"]

    def test_onto_itself(self, fs):
        fs.create("d/x")
        fs.rename("d", "d")
        assert fs.names() == ["d", "d/x"]


def test_deleting_a_full_folder_is_said_twice(fs):
    fs.create("d/x")
    assert code(fs.check_delete, "d", False) == "DirectoryNotEmpty"
    assert fs.check_delete("d", True).kind == "Directory"
    assert fs.check_delete("d/x", False).kind == "BlockBlob"
