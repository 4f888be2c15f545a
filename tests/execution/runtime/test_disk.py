from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.execution import processes
from lazward.execution.runtime import disk
from lazward.execution.runtime.disk import Scan


def counted(folder: Path, step: float = 10.0) -> Scan:
    scan = Scan(str(folder))
    while not scan.step(step):
        pass
    return scan


def allocated(*paths: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in paths)


@settings(deadline=None)  # files
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9000)), max_size=12))
def test_is_what_the_files_and_folders_have_allocated(tmp_path_factory, files: list[tuple[int, int]]):
    root = tmp_path_factory.mktemp("scan")
    for number, (depth, length) in enumerate(files):
        path = root.joinpath(*"abc"[:depth], f"f{number}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(length))
    everything = list(root.rglob("*"))
    scan = counted(root, step=0.0)  # the smallest slices there are
    assert (scan.bytes, scan.files) == (allocated(*everything), len(everything))
    sizes = [allocated(path) for path in everything if path.is_file()]
    assert scan.largest[0] == max(sizes, default=0)
    if scan.largest[1]:
        assert allocated(root / scan.largest[1]) == scan.largest[0]


def test_a_slice_ends_in_time_whatever_is_left(tmp_path: Path):
    for i in range(50):
        (tmp_path / str(i)).touch()
    scan = Scan(str(tmp_path))
    assert not scan.step(0.0) and not scan.done
    assert scan.files <= 1


def test_a_file_with_two_names_counts_once_and_only_when_both_are_here(tmp_path: Path):
    here, outside = tmp_path / "here", tmp_path / "outside"
    here.mkdir()
    outside.write_bytes(bytes(1 << 20))
    os.link(outside, here / "shared")
    assert counted(here).bytes == 0
    (here / "one").write_bytes(bytes(1 << 20))
    os.link(here / "one", here / "two")
    scan = counted(here)
    assert (scan.bytes, scan.files) == (allocated(here / "one"), 1)


def test_a_sparse_file_counts_what_it_holds(tmp_path: Path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert counted(tmp_path).bytes < 1 << 20


def test_links_are_not_followed_and_what_is_closed_to_us_is_passed_over(tmp_path: Path):
    (tmp_path / "closed").mkdir(mode=0o000)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "broken").symlink_to("nowhere")
    assert counted(tmp_path).files == 3
    assert counted(tmp_path / "none").files == 0


@pytest.mark.skipif(not processes.LINUX, reason="open files are seen on Linux")
def test_open_files_elsewhere_count_when_they_are_written_and_once(tmp_path: Path):
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()
    me = processes.look_at(os.getpid())
    ours = [fd for fd in os.listdir("/proc/self/fd") if os.path.isfile(f"/proc/self/fd/{fd}")]
    other.write_bytes(bytes(1 << 20))
    (tmp_path / "read").write_bytes(bytes(1 << 20))
    with other.open("ab"), other.open("ab"), (here / "mine").open("wb") as mine, (tmp_path / "read").open("rb"), (here / "gone").open("wb") as gone:
        mine.write(bytes(1 << 20))
        mine.flush()
        gone.write(bytes(2 << 20))
        gone.flush()
        (here / "gone").unlink()
        scan = counted(here)
        before = scan.bytes
        scan.add_open([me, me])
        held = sum(os.stat(f"/proc/self/fd/{fd}").st_blocks * 512 for fd in ours)  # what pytest itself holds open of this disk
        assert 3 << 20 <= scan.bytes - before <= (3 << 20) + held
        assert scan.largest[0] >= 2 << 20 and "gone" in scan.largest[1]


def test_free(tmp_path: Path):
    seen = disk.free(str(tmp_path))
    assert seen.bytes >= 0 and (seen.files is None or seen.files >= 0)
    with pytest.raises(OSError):
        disk.free(str(tmp_path / "none"))
