"""Where COPY puts the files of a build context."""

from __future__ import annotations

import pytest

from lazward.contract.errors import ArmError
from lazward.domain.context_files import MAX_BYTES, ContextFiles

FILES = {"a.txt": "a", "folder/b.txt": "b", "folder/sub/c.txt": "c", "project/setup.py": ""}


class TestPlace:
    @pytest.mark.parametrize(
        ("sources", "target", "path", "text"),
        [
            (["a.txt"], ".", "/app/a.txt", "a"),
            (["a.txt"], "/tmp/x.txt", "/tmp/x.txt", "a"),
            (["a.txt"], "/tmp/", "/tmp/a.txt", "a"),
            (["./a.txt", "/folder/b.txt"], "/tmp", "/tmp/b.txt", "b"),
            (["."], ".", "folder/sub/c.txt", "c"),
            (["folder"], "/opt", "/opt/sub/c.txt", "c"),
            (["folder/"], "/opt", "/opt/b.txt", "b"),
            (["*.txt"], "/opt/", "/opt/a.txt", "a"),
        ],
    )
    def test_files_are_found_where_the_image_would_have_them(self, sources: list[str], target: str, path: str, text: str) -> None:
        files = ContextFiles(FILES)
        files.place(sources, target, "/app")
        assert files.read(path, "/app") == text

    def test_a_copy_of_the_files_is_apart(self) -> None:
        files = ContextFiles(FILES)
        other = files.copy()
        other.place(["a.txt"], "/x", "/")
        assert other.read("/x") == "a"
        assert files.read("/x") is None

    def test_cp_moves_on(self) -> None:
        files = ContextFiles(FILES)
        files.place(["a.txt"], "/tmp/", "/")
        files.move(["/tmp/a.txt", "/opt/z.txt"], "/")
        assert files.read("/opt/z.txt") == "a"


class TestRead:
    def test_a_unique_name_is_found_wherever_it_was_put(self) -> None:
        files = ContextFiles(FILES)
        files.place(["folder"], "/deep/er", "/")
        assert files.read("$SOMEWHERE/c.txt") == "c"

    def test_missing(self) -> None:
        assert ContextFiles(None).read("a.txt") is None

    def test_utf16_and_callables(self) -> None:
        assert ContextFiles({"a": "six".encode("utf-16")}).read("a") == "six"
        assert ContextFiles({"a": lambda: b"\xef\xbb\xbfsix"}).read("a") == "six"

    def test_a_huge_file_is_refused(self) -> None:
        with pytest.raises(ArmError, match="larger"):
            ContextFiles({"a": "x" * (MAX_BYTES + 1)}).read("a")


def test_local_finds_projects_and_archives() -> None:
    files = ContextFiles(FILES | {"w.whl": b""})
    files.place(["."], "/app", "/")
    assert files.local("project", "/app") == "project"
    assert files.local("/app/w.whl") == "w.whl"
    assert files.local("folder", "/app") is None
    assert files.glob("*.whl", "/app") == ["/app/w.whl"]
    assert files.glob("*.zip", "/app") == ["*.zip"]
