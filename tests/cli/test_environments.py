from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lazward.cli.main import run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three environments: one in use, one used a long time ago, one a little later."""
    for name in ("envs", "uses/held", "locks", "tmp"):
        (tmp_path / "envs" / name).mkdir(parents=True)
    for key, used in (("held", 1e9), ("old", 1e9 + 86400), ("new", 1e9 + 2 * 86400)):
        made = tmp_path / "envs" / "envs" / key
        made.mkdir()
        (made / "file").write_bytes(b"x" * 2048)
        os.utime(made, (used, used))
    (tmp_path / "envs" / "uses" / "held" / "job").symlink_to(tmp_path)
    return tmp_path


def keys(data: Path) -> set[str]:
    return {path.name for path in (data / "envs" / "envs").iterdir()}


def test_list(data: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["environments", "list", "--data-dir", str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(e["key"], e["bytes"], e["used_by"]) for e in found] == [("held", 2048, [str(data)]), ("old", 2048, []), ("new", 2048, [])]
    assert run(["environments", "list", "--data-dir", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "held" in shown and "3 environments, 6.0 KiB" in shown


@pytest.mark.parametrize(("words", "left"), [
    (["--keep-bytes", "4096"], {"held", "new"}), (["--keep-bytes", "0"], {"held"}), (["--keep-days", "1"], {"held"}), (["--keep-days", "1000000"], {"held", "old", "new"}),
    ([], {"held"}),
])
def test_prune(data: Path, words: list[str], left: set[str], capsys: pytest.CaptureFixture[str]):
    assert run(["environments", "prune", "--data-dir", str(data), *words]) == 0
    assert keys(data) == left
    assert f"{3 - len(left)} environments removed" in capsys.readouterr().out


def test_without_a_limit_the_settings_count(data: Path):
    (data / "settings.toml").write_text("environments_max_days = 0\n")
    assert run(["environments", "prune", "--data-dir", str(data)]) == 0
    assert keys(data) == {"held", "old", "new"}
    (data / "settings.toml").write_text("environments_max_days = 0\nenvironments_max_bytes = 4096\n")
    assert run(["environments", "prune", "--data-dir", str(data)]) == 0
    assert keys(data) == {"held", "new"}


def test_a_limit_below_nothing_is_refused(data: Path):
    assert run(["environments", "prune", "--data-dir", str(data), "--keep-days", "-1"]) == 2
    assert keys(data) == {"held", "old", "new"}
