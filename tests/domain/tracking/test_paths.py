"""S2: whatever a client sends as a path, the blob it names lies below the run's own folder."""

from __future__ import annotations

import posixpath
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.paths import below, quoted, run_prefix

ROOT = run_prefix("r1")
PIECES = ["..", ".", "/", "//", "\\", "%2e", "%2E%2e", "%252e", "%2f", "%5c", ";", "#", "?", "\0", "%00", "C:", "a", "b.txt", "ü", " ", "~", "file:", "\r\n", "..;", "%", "&", "+"]


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=30))
@example("../r2/secret")
@example("/etc/passwd")
@example("%252e%252e%252fr2")
@example("a/../../r2")
def test_s2_no_path_leaves_its_root(path):
    try:
        name = below(ROOT, path)
    except MlflowError as error:
        assert error.code == "INVALID_PARAMETER_VALUE"
        return
    for seen in (name, unquote(name), unquote(unquote(name))):
        assert posixpath.normpath(seen) == seen
        assert seen == ROOT or seen.startswith(ROOT + "/")
        assert not set("\\\0\r\n") & set(seen)
    # As part of a URL it is the same name again, not a query or a fragment.
    assert unquote(urlsplit(f"https://h/{quoted(name)}?sig=x").path) == "/" + name


@pytest.mark.parametrize("path", ["../x", "a/../b", "/a", "a//b", "./a", "a/.", "a/", "a\\b", "a\0b", "%2e%2e/x", "%252e%252e/x", "c:/x", "a\nb", "x" * 1025, "..", quote("../x", safe="")])
def test_s2_refused(path):
    with pytest.raises(MlflowError):
        below(ROOT, path)


@pytest.mark.parametrize("path", ["a", "a/b c.txt", "a;b", "a#b", "100%.txt", "a%20b", "ä/ö", "a?b", "model/MLmodel", "..a", "a..b"])
def test_odd_but_honest_names(path):
    assert below(ROOT, path) == f"{ROOT}/{path}"


def test_the_root_itself():
    assert below(ROOT, "") == ROOT
