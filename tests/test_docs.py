"""The documents tell the truth about the code, and the house rules that a machine can check."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

from lazward.apps.arm import coverage
from lazward.cli.main import every
from lazward.domain.settings import describe, variable

ROOT = Path(__file__).parent.parent
GUIDES = ROOT / "docs" / "guides"
DECISIONS = ROOT / "docs" / "decisions"
DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")})
SOURCES = sorted(path for folder in ("lazward", "tests", "bench") for path in (ROOT / folder).rglob("*.py"))
LINES = 400


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


class TestDocuments:
    def test_the_coverage_is_what_its_generator_gives(self):
        assert (ROOT / "docs" / "coverage.md").read_text() == coverage.render(), "run python -m lazward.apps.arm.coverage"

    @pytest.mark.parametrize("setting", describe(), ids=lambda s: s.name)
    def test_every_setting_is_in_the_guide(self, setting):
        """A row with its name, variable, default, unit and text, all as the code says them."""
        default = "see text" if setting.default == "" else f"`{str(setting.default).lower() if isinstance(setting.default, bool) else setting.default}`"
        row = f"| `{setting.name}` | `{variable(setting.name)}` | {default} | {setting.unit} | {setting.text} |"
        assert row in (GUIDES / "settings.md").read_text().splitlines()

    def test_the_guide_has_no_setting_that_is_gone(self):
        rows = re.findall(r"(?m)^\| `(\w+)` \| `LAZWARD_", (GUIDES / "settings.md").read_text())
        assert rows == [setting.name for setting in describe()]

    @pytest.mark.parametrize("command", every())
    def test_every_command_is_in_the_guide(self, command):
        assert re.search(rf"(?m)^\|[^|]*`lazward {command}\b[^|]*\| \S", (GUIDES / "settings.md").read_text())

    def test_every_guide_can_be_found(self):
        linked = set(re.findall(r"docs/guides/(\w[\w-]*\.md)", (ROOT / "README.md").read_text()))
        assert linked == {path.name for path in GUIDES.glob("*.md")}

    @pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
    def test_links_lead_somewhere(self, path):
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            if "://" in target or target.startswith("mailto:"):
                continue
            place, _, anchor = unquote(target).partition("#")
            found = path.parent / place if place else path
            assert found.exists(), f"{target} in {name_of(path)}"
            if anchor:
                titles = re.findall(r"(?m)^#+ (.+)$", found.read_text())
                assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, f"{target} in {name_of(path)}"


class TestDecisions:
    FILES = sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))

    def test_they_are_numbered_without_gap_or_double(self):
        assert [int(name[:4]) for name in self.FILES] == list(range(1, len(self.FILES) + 1))

    def test_the_index_lists_each_with_its_title(self):
        index = re.findall(r"(?m)^- \[(\d{4})\]\((\S+)\): (.+)$", (DECISIONS / "README.md").read_text())
        assert index == [(name[:4], name, (DECISIONS / name).read_text().splitlines()[0].removeprefix(f"# {name[:4]} ")) for name in self.FILES]

    @pytest.mark.parametrize("name", FILES)
    def test_each_says_whether_it_holds(self, name):
        title, _, status = (DECISIONS / name).read_text().splitlines()[:3]
        assert title.startswith(f"# {name[:4]} ")
        assert re.fullmatch(r"Status: (accepted|superseded by \d{4})", status)

    def test_those_that_are_named_exist(self):
        texts = {path: path.read_text() for path in (*DOCUMENTS, *SOURCES, ROOT / "pyproject.toml")}
        named = {(number, name_of(path)) for path, text in texts.items() for number in re.findall(r"ADR-(\d{4})\b", text)}
        assert named, "nothing names a decision?"
        known = {name[:4] for name in self.FILES}
        assert not {(number, path) for number, path in named if number not in known}


class TestHouseRules:
    def test_files_are_short(self):
        long = {name_of(path): lines for path in SOURCES if (lines := len(path.read_text().splitlines())) >= LINES}
        assert not long, f"files of {LINES} lines and more"

    def test_files_are_named_after_what_they_hold(self):
        assert not [name_of(path) for path in SOURCES if path.stem in ("utils", "util", "helpers", "helper", "common", "misc", "base")]

    def test_nothing_is_left_of_a_merge(self):
        marks = re.compile(rb"(?m)^(<{7} |={7}$|>{7} |\|{7} )")
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
        if listed.returncode:
            pytest.skip("not a git checkout")
        paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
        assert not [name_of(path) for path in paths if path.is_file() and marks.search(path.read_bytes())]
