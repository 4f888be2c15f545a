"""The registry of MCP servers: what its documents may hold, and the order of versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai import mcp

DOC = {"name": "com.example/tool", "version": "1.0.0"}
# in the words of https://semver.org, item 11
RISING = ("1.0.0-1", "1.0.0-2", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-alpha1", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0")
part = st.one_of(st.integers(0, 30).map(str), st.from_regex(r"[a-zA-Z-][0-9a-zA-Z-]{0,3}", fullmatch=True))
versions = st.builds(
    lambda core, before, build: ".".join(map(str, core)) + (f"-{'.'.join(before)}" if before else "") + (f"+{build}" if build else ""),
    st.tuples(*[st.integers(0, 12)] * 3), st.lists(part, max_size=3), st.sampled_from(["", "b1", "b2.3"]),
)


def test_versions_are_ordered_as_semver_says():
    for at, low in enumerate(RISING):
        for high in RISING[at + 1 :]:
            assert mcp.Semver(low) < high and mcp.Semver(high) > low and mcp.Semver(low) <= high and not mcp.Semver(low) >= high
    assert mcp.precedence("1.0.0+a") == mcp.precedence("1.0.0+b") and mcp.Semver("1.0.0+a") != "1.0.0+b" and mcp.Semver("1.0.0+a") <= "1.0.0+b"


@given(st.lists(versions, min_size=3, max_size=3))
def test_the_order_is_total(some):
    a, b, c = sorted(map(mcp.precedence, some))
    assert a <= b <= c and a <= c and all(mcp.Semver(one) == one and hash(mcp.Semver(one)) == hash(one) for one in some)


@pytest.mark.parametrize("version", ["", "1", "1.0", "01.0.0", "1.0.0-", "1.0.0-01", "v1.0.0", "1.0.0 ", "1.0.0+", "\u0661.0.0", f"{2**31}.0.0", "1.0.0-" + "a" * 128, None, 1])
def test_what_is_no_version(version):
    with pytest.raises(MlflowError, match="Invalid semantic version"):
        mcp.precedence(version)


@pytest.mark.parametrize("name", ["", "tool", "a/b", "com.example/", "/tool", "com.example/a/b", "com.example/versions", "com.example/tags", "-com/tool", "com/tool-", "com_x/tool", "a" * 300 + "/tool", None, 7])
def test_what_is_no_name(name):
    with pytest.raises(MlflowError):
        mcp.check_name(name)


def test_names():
    for name in ("com.example/tool", "io.github.me/my_tool.v2", "com.example/endpoints2"):
        assert mcp.check_name(name) == name


def test_states():
    for old, new in (("draft", "active"), ("active", "deprecated"), ("active", "draft"), ("deprecated", "active"), ("deprecated", "deleted"), ("draft", "deleted")):
        mcp.check_change(old, new)
    for old, new in (("active", "deleted"), ("draft", "deprecated"), ("deleted", "active"), ("active", "active")):
        with pytest.raises(MlflowError, match="transition"):
            mcp.check_change(old, new)


def test_a_document_is_kept_as_it_came():
    given = {
        **DOC, "$schema": "https://example.org/s.json", "title": "T", "packages": [{"registryType": "npm", "identifier": "p", "transport": {"type": "stdio"}, "environmentVariables": [{"name": "KEY", "isSecret": True}]}],
        "remotes": [{"type": "sse", "url": "https://example.org", "headers": []}], "repository": {"url": "u", "source": "github"}, "_meta": {"a": {"b": 1}},
    }
    assert mcp.server_json(given) == given and list(mcp.server_json(given)) == list(given)
    assert mcp.server_json({"server": given, "_meta": {}}) == given


@pytest.mark.parametrize(("doc", "path"), [
    (None, "server_json"), ([], "server_json"), ({"name": "com.example/a"}, "version"), ({**DOC, "version": "x"}, "version"), ({**DOC, "name": "x"}, "name"), ({**DOC, "title": 1}, "title"),
    ({**DOC, "packages": {}}, "packages"), ({**DOC, "packages": [{"registryType": "npm", "identifier": "p"}]}, r"packages\[0\]\.transport"), ({**DOC, "packages": [1]}, r"packages\[0\]"),
    ({**DOC, "packages": [{"registryType": "n", "identifier": "p", "transport": 1, "environmentVariables": [{}]}]}, r"environmentVariables\[0\]\.name"), ({**DOC, "remotes": [{"url": 1}]}, r"remotes\[0\]\.url"),
    ({**DOC, "repository": {"url": "u"}}, "repository.source"), ({**DOC, "icons": [{"src": "javascript:alert(1)"}]}, r"icon"),
])
def test_what_is_no_document(doc, path):
    with pytest.raises(MlflowError, match=path):
        mcp.server_json(doc)


def test_tools():
    assert mcp.tools(None) is None and mcp.tools([]) == []
    assert mcp.tools([{"name": "t", "inputSchema": {"a": 1}, "title": None, "other": 1}]) == [{"name": "t", "inputSchema": {"a": 1}}]
    for wrong in ({}, [{}], [{"name": "t", "inputSchema": []}], [{"name": "t"}] * 1001, [{"name": "t", "icons": [{}]}]):
        with pytest.raises(MlflowError):
            mcp.tools(wrong)


def test_icons():
    one = {"src": "https://example.org/i.png", "mimeType": " Image/PNG ", "theme": "dark", "source": "server", "extra": 1}
    assert mcp.icons([one]) == [{"src": "https://example.org/i.png", "mimeType": "image/png", "theme": "dark", "extra": 1}]
    for wrong in ("http://example.org/i.png", "data:image/png;base64,AA", "javascript:alert(1)", "https://", "//example.org/i.png", "https://[", 1):
        with pytest.raises(MlflowError):
            mcp.icons([{"src": wrong}])
    for more in ({"mimeType": "text/html"}, {"source": "version"}, {"sizes": "16x16"}):
        with pytest.raises(MlflowError):
            mcp.icons([{"src": "https://example.org/i.png", **more}])


def test_icons_of_a_server_come_before_those_of_its_latest_version():
    dark, light = {"src": "d", "theme": "dark"}, {"src": "l", "theme": "light"}
    assert mcp.resolved_icons(None, None) is None and mcp.resolved_icons([], [dark]) == []
    assert mcp.resolved_icons([dark], [{**dark, "src": "other"}, light]) == [{**dark, "source": "server"}, {**light, "source": "version"}]


def test_connect_options():
    assert mcp.connect_options(None) is None and mcp.connect_options({"a": {}, "b": {"hidden": True, "x": 1}}) == {"a": {"hidden": False}, "b": {"hidden": True}}
    for wrong in ([], {"a": 1}, {"a": {"hidden": "yes"}}):
        with pytest.raises(MlflowError):
            mcp.connect_options(wrong)
