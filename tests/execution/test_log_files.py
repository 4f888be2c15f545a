from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.execution.log_files import read_piece


@settings(deadline=None)  # files
@given(st.binary(max_size=50), st.integers(-60, 60), st.integers(0, 60))
def test_is_what_a_slice_of_the_file_is(tmp_path_factory, data: bytes, start: int, limit: int):
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(data)
    assert read_piece(path, start, limit) == data[start:][:limit]


def test_what_is_no_file_is_nothing_and_keeps_nobody_waiting(tmp_path: Path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe")
    for name in ("none", "link", "pipe", "."):
        assert read_piece(tmp_path / name, 0, 100) == b""


def test_a_file_that_cannot_be_read_is_nothing(tmp_path: Path):
    assert read_piece(tmp_path / ("x" * 300), 0, 100) == b""
