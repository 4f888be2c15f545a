"""The reader of backups trusts nothing: S2 (traversal) and S3 (tar slip) are tested on real tar files."""

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.cli.archive import FORMAT, HEAD, MANIFEST, BadArchive, Writer, files_below, place, unpack

HEADER = {"format": FORMAT, "version": "0", "database": "sqlite", "blobs": "included"}


def tar(path, members, manifest=None, head=HEADER):
    """Writes an archive by hand: members are (TarInfo or name, bytes); the manifest is made to match unless given."""
    entries = []
    with tarfile.open(path, "w") as file:

        def add(info, data=b""):
            info = info if isinstance(info, tarfile.TarInfo) else tarfile.TarInfo(info)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))

        if head is not None:
            add(HEAD, json.dumps(head).encode())
        for info, data in members:
            add(info, data)
            name = info.name if isinstance(info, tarfile.TarInfo) else info
            entries.append({"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
        if manifest is not False:
            add(MANIFEST, json.dumps({"files": entries if manifest is None else manifest}).encode())
    return path


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


class TestRoundTrip:
    @pytest.mark.parametrize("name", ["b.tar", "b.tar.gz", "b.tgz"])
    def test_files_come_back_private(self, tmp_path, target, name):
        source = tmp_path / "source"
        (source / "a" / "b").mkdir(parents=True)
        (source / "a" / "b" / "é x").write_bytes(os.urandom(3_000_000))
        (source / "empty").touch(0o777)
        with Writer(tmp_path / name, {"database": "sqlite", "blobs": "included"}) as writer:
            assert writer.add_folder("blobs", source) == 0
            assert writer.add("settings.toml", source / "empty")
            assert not writer.add("endpoint.json", source / "missing")
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        head = unpack(tmp_path / name, target)
        assert (head["format"], head["database"]) == (FORMAT, "sqlite")
        assert (target / "blobs" / "a" / "b" / "é x").read_bytes() == (source / "a" / "b" / "é x").read_bytes()
        assert {stat.S_IMODE(p.stat().st_mode) for p in files_below(target)} == {0o600}
        assert len(list(files_below(target))) == 3

    def test_an_error_leaves_no_file(self, tmp_path):
        with pytest.raises(RuntimeError), Writer(tmp_path / "b.tar", {}) as writer:
            raise RuntimeError
        assert os.listdir(tmp_path) == [] and writer.files == 0

    def test_a_file_that_gets_shorter_is_an_error(self, tmp_path):
        path = tmp_path / "f"
        path.write_bytes(b"x" * 10)
        writer = Writer(tmp_path / "b.tar", {})
        writer.__enter__()
        real = os.fstat

        class Longer:
            st_size = 20

        os.fstat = lambda fd: Longer if real(fd).st_size == 10 else real(fd)
        try:
            with pytest.raises(OSError, match=r"shorter|unexpected end"):
                writer.add("settings.toml", path)
        finally:
            os.fstat = real
            writer.__exit__(OSError, None, None)

    def test_links_are_neither_followed_nor_kept(self, tmp_path):
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "link").symlink_to("/etc/passwd")
        (tmp_path / "folder" / "loop").symlink_to(tmp_path)
        assert list(files_below(tmp_path / "folder")) == []


class TestS2Traversal:
    @pytest.mark.parametrize("name", [
        "../x", "keys/../../x", "/etc/x", "keys//x", "keys/./x", "keys/", "blobs/..", "x", "run/x", "lazward.db", "keys", "keys/a\x00b", "", "KEYS/x", "settings.toml/x",
    ])
    def test_is_refused(self, target, name):
        with pytest.raises(BadArchive, match="does not belong"):
            place(target, name)

    @given(st.text(alphabet="./\\ab\x00é%;#~", min_size=1, max_size=40))
    def test_nothing_ends_outside(self, tmp_path_factory, rest):
        root = tmp_path_factory.getbasetemp() / "root"
        for name in (rest, "keys/" + rest, "blobs/" + rest):
            try:
                placed = place(root, name)
            except BadArchive:
                continue
            assert str(placed).startswith((f"{root.resolve()}/keys/", f"{root.resolve()}/blobs/"))

    def test_a_link_in_the_way_does_not_lead_out(self, tmp_path, target):
        (tmp_path / "outside").mkdir()
        (target / "blobs").symlink_to(tmp_path / "outside")
        with pytest.raises(BadArchive, match="points out"):
            place(target, "blobs/x")

    @pytest.mark.parametrize("name", ["../x", "/tmp/lazward-evil", "keys/../../x"])
    def test_in_a_real_archive(self, tmp_path, target, name):
        with pytest.raises(BadArchive):
            unpack(tar(tmp_path / "b.tar", [(name, b"evil")]), target)
        assert list(files_below(target)) == []


class TestS3WritesOnlyWhatItShould:
    @pytest.mark.parametrize("info", [
        special("keys/x", tarfile.SYMTYPE, "/etc/passwd"), special("keys/x", tarfile.LNKTYPE, "keys/y"), special("keys/x", tarfile.FIFOTYPE),
        special("keys/x", tarfile.CHRTYPE), special("keys", tarfile.DIRTYPE),
    ])
    def test_only_regular_files(self, tmp_path, target, info):
        with pytest.raises(BadArchive, match="no regular file"):
            unpack(tar(tmp_path / "b.tar", [(info, b"")]), target)
        assert list(target.iterdir()) == []

    def test_modes_of_the_archive_mean_nothing(self, tmp_path, target):
        info = tarfile.TarInfo("keys/x")
        info.mode = 0o6777
        unpack(tar(tmp_path / "b.tar", [(info, b"x")]), target)
        assert stat.S_IMODE((target / "keys" / "x").stat().st_mode) == 0o600

    def test_a_member_twice(self, tmp_path, target):
        with pytest.raises(BadArchive, match="twice"):
            unpack(tar(tmp_path / "b.tar", [("keys/x", b"1"), ("keys/x", b"2")]), target)


class TestDamage:
    @pytest.mark.parametrize("manifest", [
        [], [{"name": "keys/x", "size": 1, "sha256": "0" * 64}], [{"name": "keys/x", "size": 2, "sha256": hashlib.sha256(b"1").hexdigest()}],
        [{"name": "keys/x", "size": 1, "sha256": hashlib.sha256(b"1").hexdigest()}, {"name": "keys/y", "size": 0, "sha256": ""}],
    ])
    def test_what_the_manifest_does_not_say(self, tmp_path, target, manifest):
        with pytest.raises(BadArchive, match=r"keys/[xy].*manifest"):
            unpack(tar(tmp_path / "b.tar", [("keys/x", b"1")], manifest), target)

    def test_a_member_after_the_manifest(self, tmp_path, target):
        path = tar(tmp_path / "b.tar", [(MANIFEST, b'{"files": []}'), ("keys/x", b"1")], manifest=False)
        with pytest.raises(BadArchive, match="after the manifest"):
            unpack(path, target)

    @pytest.mark.parametrize(("head", "message"), [(None, "no Lazward backup"), ({"format": 99}, "format is 99"), ({}, "format is None")])
    def test_another_kind_of_archive(self, tmp_path, target, head, message):
        with pytest.raises(BadArchive, match=message):
            unpack(tar(tmp_path / "b.tar", [("keys/x", b"1")], head=head), target)

    @pytest.mark.parametrize("content", [b"", b"not a tar at all" * 100, gzip.compress(b"x" * 5000, mtime=0), b"\x1f\x8b\x08nonsense"])
    def test_no_archive(self, tmp_path, target, content):
        (tmp_path / "b.tar").write_bytes(content)
        with pytest.raises(BadArchive):
            unpack(tmp_path / "b.tar", target)

    @given(st.data())
    def test_cut_short_anywhere_or_one_bit_turned_it_never_passes_as_whole(self, tmp_path_factory, data):
        folder = tmp_path_factory.mktemp("cut")
        whole = tar(folder / "whole.tar", [("keys/x", b"abc" * 400), ("blobs/y", b"")]).read_bytes()
        (folder / "target").mkdir()
        if data.draw(st.booleans(), label="cut"):
            at = data.draw(st.integers(0, len(whole.rstrip(b"\x00")) - 1))
            bad = whole[:at]
        else:
            start = whole.index(b"abcabc")
            at = data.draw(st.integers(start, start + 1199))
            bad = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        (folder / "b.tar").write_bytes(bad)
        with pytest.raises(BadArchive):
            unpack(folder / "b.tar", folder / "target")

    def test_no_such_file(self, tmp_path, target):
        with pytest.raises(BadArchive, match="cannot be read"):
            unpack(tmp_path / "missing.tar", target)
