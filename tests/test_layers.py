"""Imports go downwards only, third-party packages are used where ADR-0006 says, and every module has its test."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = ROOT / "lazward"
ANYWHERE = "anywhere"


def allowed() -> dict[str, list[str]]:
    """The table of ADR-0006: a package, and the folders and files of lazward/ that may import it."""
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.+?) \|", (ROOT / "docs" / "decisions" / "0006-libraries.md").read_text())
    return {name: re.findall(r"`(.+?)`", places) or [places] for name, places in rows}


def imports_of(path: Path) -> set[str]:
    """Top names of the packages that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def third_party() -> dict[str, set[str]]:
    """The files that import each."""
    used: dict[str, set[str]] = defaultdict(set)
    for path in CODE.rglob("*.py"):
        for name in imports_of(path) - sys.stdlib_module_names - {"lazward"}:
            used[name].add(path.relative_to(CODE).as_posix())
    return used


class TestImports:
    def test_they_go_downwards_only(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        from importlinter import cli

        monkeypatch.chdir(ROOT)
        code = cli.lint_imports(no_cache=True, no_logo=True)
        assert code == 0, capsys.readouterr().out

    def test_packages_are_used_where_they_may_be(self):
        table, used = allowed(), third_party()
        assert table
        wrong = {
            name: outside for name, paths in used.items() if (outside := sorted(path for path in paths if not any(_within(path, at) for at in table.get(name, ()))))
        }
        assert not wrong, "say in ADR-0006 why it is needed there"

    def test_what_may_be_used_is_used(self):
        used = third_party()
        assert not [(name, at) for name, places in allowed().items() for at in places if not any(_within(path, at) for path in used[name])]


def _within(path: str, at: str) -> bool:
    return at == ANYWHERE or path == at or path.startswith(at + "/")
