from __future__ import annotations

import difflib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.domain.comparison.lines import BUDGET, Budget, matches, split, unified

few = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "d\n"]), max_size=30).map("".join)
texts = few | st.text(alphabet="ab\n\r\x0c\u2028 ", max_size=40)


def applied(old: str, diff: str) -> str:
    """The new text, read from the diff by the rules of unified diffs."""
    source, out, at = split(old), [], 0
    lines = re.findall(r"[^\n]*\n", diff)[2:]
    for place, line in enumerate(lines):
        if line.startswith("@@"):
            match = re.fullmatch(r"@@ -(\d+),(\d+) \+(\d+),(\d+) @@\n", line)
            assert match, line
            start = int(match[1]) - (1 if int(match[2]) else 0)
            out += source[at:start]
            at = start
            assert len(out) == int(match[3]) - (1 if int(match[4]) else 0)
        elif line[0] == "\\":
            continue
        else:
            text = line[1:-1] if place + 1 < len(lines) and lines[place + 1].startswith("\\") else line[1:]
            if line[0] in " -":
                assert source[at] == text
                at += 1
            if line[0] in " +":
                out.append(text)
    return "".join(out + source[at:])


@given(texts, texts)
def test_a_diff_makes_the_one_text_of_the_other(old: str, new: str):
    diff = unified(old, new, "a", "b")
    assert (diff == "") == (old == new)
    if diff:
        assert applied(old, diff) == new


@given(texts, texts, st.integers(0, 60))
def test_so_it_does_when_the_work_is_cut_short(old: str, new: str, steps: int):
    diff = unified(old, new, "a", "b", Budget(steps))
    assert not diff or applied(old, diff) == new


@given(few, few)
def test_no_more_lines_change_than_must(old: str, new: str):
    a, b = split(old), split(new)
    kept = sum(n for *_, n in matches(a, b, Budget()))
    longest = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a)):
        for j in range(len(b)):
            longest[i + 1][j + 1] = longest[i][j] + 1 if a[i] == b[j] else max(longest[i][j + 1], longest[i + 1][j])
    assert kept == longest[-1][-1]


@given(few, few)
@settings(max_examples=50)
def test_the_form_is_that_of_diff(old: str, new: str):
    """The same number of lines of each sign as Python's own, where both find the fewest; headings and hunks in the same form."""
    ours = unified(old, new, "a/x", "b/x").splitlines()
    theirs = list(difflib.unified_diff(split(old), split(new), "a/x", "b/x"))
    assert bool(ours) == bool(theirs)
    assert [line + "\n" for line in ours[:2]] == theirs[:2]


@pytest.mark.skipif(shutil.which("patch") is None, reason="there is no patch here")
@pytest.mark.parametrize(("old", "new"), [
    ("a\nb\nc\n", "a\nx\nc\n"), ("a\nb", "a\nb\n"), ("a\n", "a"), ("", "a\nb\n"), ("\n" * 30 + "x\n", "y\n" + "\n" * 30), ("".join(f"{i}\n" for i in range(50)), "".join(f"{i}\n" for i in range(50) if i % 11)),
])
def test_patch_takes_it(tmp_path: Path, old: str, new: str):
    (tmp_path / "f").write_text(old)
    diff = unified(old, new, "f", "f")
    subprocess.run(["patch", "-s", str(tmp_path / "f")], input=diff, text=True, check=True)
    assert (tmp_path / "f").read_text() == new


def test_whatever_it_is_given_it_ends():
    """Counted, not timed: ten thousand lines of each, nothing in common but by chance."""
    budget = Budget()
    old, new = "".join(f"{i * 7919 % 50}\n" for i in range(10_000)), "".join(f"{i * 104729 % 53}\n" for i in range(10_000))
    diff = unified(old, new, "a", "b", budget)
    assert applied(old, diff) == new
    assert budget.steps > -BUDGET  # one round at most beyond it
    assert applied("a\nb\n", unified("a\nb\n", "a\nc\n", "a", "b", Budget(0))) == "a\nc\n"
