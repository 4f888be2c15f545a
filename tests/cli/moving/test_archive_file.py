"""Files that are no exports, or no longer: what is said, and that nothing but what is whole is taken in."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from lazward.cli.moving.archive_file import END, HEAD, Archive, Writer
from lazward.cli.moving.source import BadSource, File
from lazward.domain.tracking.moved import Experiment, RunEnd

EXPERIMENT = Experiment("1", "e", "active", None, {"a": "b"}, 1.0, 2.0)


def written(path: Path) -> Path:
    with Writer(path, {"totals": {"runs": 2}}) as writer:
        writer.add(EXPERIMENT)
        writer.add(RunEnd("r"))
        writer.add_file("run", "r", "a/b é.txt", 3, io.BytesIO(b"abc"))
    return path


def tar(path: Path, *members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w") as out:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data) if kind == tarfile.REGTYPE else 0, kind if name not in (HEAD, END) else tarfile.REGTYPE
            if name in (HEAD, END):
                info.size = len(data)
            info.linkname = "/etc/passwd"
            out.addfile(info, io.BytesIO(data))
    return path


def read(path: Path) -> list:
    return [(i.owner, i.id, i.path, b"".join(i.read())) if isinstance(i, File) else i for i in Archive(path).items()]


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_what_is_written_is_read(tmp_path, name):
    path = written(tmp_path / name)
    assert read(path) == [EXPERIMENT, RunEnd("r"), ("run", "r", "a/b é.txt", b"abc")]
    assert Archive(path).totals() == {"runs": 2} and path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_files_that_nobody_reads_are_passed_over(tmp_path):
    assert len(list(Archive(written(tmp_path / "x.tar")).items())) == 3


def test_without_an_end_there_is_no_file(tmp_path):
    with pytest.raises(RuntimeError), Writer(tmp_path / "x.tar", {}) as writer:
        writer.add(EXPERIMENT)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_cut_off_anywhere_it_is_said(tmp_path, name):
    """Every length there is, but for the zeros that tar ends with."""
    whole = written(tmp_path / name).read_bytes()
    cut = tmp_path / f"cut-{name}"
    needed = len(whole) if name.endswith("gz") else whole.rindex(b'{"records"') + 512
    for length in {*range(0, needed - 512, 97), needed - 600}:
        cut.write_bytes(whole[:length])
        with pytest.raises(BadSource) as caught:
            read(cut)
        assert str(cut) in str(caught.value)


HEADED = (HEAD, json.dumps({"format": 1}).encode())


@pytest.mark.parametrize("members, says", [
    ([("other", b"")], f"its first member is not {HEAD}"),
    ([(HEAD, b"[]")], "is no JSON object"),
    ([(HEAD, b'{"format": 2}')], "this version reads 1"),
    ([HEADED, ("records/1.jsonl", b'{"kind": "run-end", "id": "a"}\n{"kind": "what"}\n')], "line 2 of the member records/1.jsonl is no record"),
    ([HEADED, ("records/1.jsonl", b'{"kind": "run-end", "id": 3}\n')], "Expected `str`"),
    ([HEADED, ("records/1.jsonl", b"\xff\n")], "line 1 of the member"),
    ([HEADED, ("../../etc/cron.d/x", b"")], "is none of an export"),
    ([HEADED, ("/etc/passwd", b"")], "is none of an export"),
    ([HEADED, ("artifacts/nobody/a/b", b"")], "is no artifact"),
    ([HEADED, ("artifacts/run/a", b"")], "is no artifact"),
    ([HEADED, (END, b'{"records": 1, "files": 0}')], "tells of 1 records"),
], ids=lambda x: x if isinstance(x, str) else "")
def test_what_no_export_holds_is_named(tmp_path, members, says):
    with pytest.raises(BadSource, match=says.replace("(", r"\(")):
        read(tar(tmp_path / "x.tar", *members))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_not_followed(tmp_path, kind):
    with pytest.raises(BadSource, match="is no regular file"):
        read(tar(tmp_path / "x.tar", HEADED, ("artifacts/run/a/b", b""), kind=kind))


@pytest.mark.parametrize("data", [b"", b"hello", b"\x1f\x8b", b"\x1f\x8bnothing of gzip", bytes(10240)], ids=repr)
def test_no_tar_at_all(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(BadSource):
        read(tmp_path / "x")


def test_no_file(tmp_path):
    with pytest.raises(BadSource, match="No such file"):
        Archive(tmp_path / "x")
