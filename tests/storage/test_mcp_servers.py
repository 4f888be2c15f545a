"""The registry of MCP servers: what is latest, what aliases mean, and what goes with what."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai import mcp
from lazward.storage import mcp_endpoints, mcp_servers, runs
from tests.storage.tracking_data import KEY, NOW, OTHER, make_workspaces

NAME = "com.example/tool"


@pytest.fixture(autouse=True)
def some(db):
    make_workspaces(db)


def add(db, version, status="draft", name=NAME, key=KEY, at=NOW, tools=None):
    return db.write_now(mcp_servers.create_version, key, {"name": name, "version": version}, status, tools, None, None, "me", at)[1]


def become(db, version, *states):
    for status in states:
        db.write_now(mcp_servers.update_version, KEY, NAME, version, {"status": status}, "you", NOW + 1)


def endpoint(db, version=None, alias=None):
    return db.write_now(mcp_endpoints.create, KEY, NAME, "https://example.org", "sse", version, alias, "me", NOW)[1]


def server(db):
    return db.read_now(mcp_servers.get, KEY, NAME)


def test_the_first_version_makes_its_server(db):
    made = add(db, "1.0.0", tools=[{"name": "t"}])
    assert (made.status, made.doc, made.tools, made.created_by) == ("draft", '{"name":"com.example/tool","version":"1.0.0"}', '[{"name":"t"}]', "me")
    for again in ("1.0.0", "1.0.0"):
        with pytest.raises(MlflowError) as refused:
            add(db, again)
        assert refused.value.code == "RESOURCE_ALREADY_EXISTS"
    with pytest.raises(MlflowError):
        db.write_now(mcp_servers.create, KEY, NAME, None, None, "me", NOW)


def test_latest_is_the_greatest_that_is_active(db):
    for version in ("1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1"):
        add(db, version)
    assert server(db).latest().version == "2.0.0-rc.1"
    become(db, "1.9.0", "active")
    assert server(db).latest().version == "1.9.0"
    become(db, "1.0.0", "active")
    assert server(db).latest().version == "1.9.0"
    become(db, "1.9.0", "deprecated")
    assert server(db).latest().version == "1.0.0"
    add(db, "1.0.0+build", "active", at=NOW + 9)
    assert server(db).latest().version == "1.0.0+build", "of equal ones the newest"


def test_a_version_that_goes_takes_what_leads_to_it(db):
    add(db, "1.0.0")
    add(db, "2.0.0")
    db.write_now(mcp_servers.set_alias, KEY, NAME, "prod", "1.0.0")
    straight, by_alias, latest = endpoint(db, "1.0.0"), endpoint(db, alias="prod"), endpoint(db, alias="latest")
    assert [one.id for one in server(db).endpoints] == [straight.id, by_alias.id, latest.id]
    db.write_now(mcp_servers.delete_version, KEY, NAME, "1.0.0", NOW)
    left = server(db)
    assert ([one.id for one in left.endpoints], left.aliases, set(left.versions)) == ([latest.id], {}, {"2.0.0"})
    for gone in (straight, by_alias):
        with pytest.raises(MlflowError, match="not found"):
            db.read_now(mcp_endpoints.get, KEY, NAME, gone.id)
    with pytest.raises(MlflowError) as refused:
        add(db, "1.0.0")
    assert refused.value.code == "RESOURCE_ALREADY_EXISTS"
    become(db, "2.0.0", "deleted")
    assert server(db).endpoints == [] and server(db).latest() is None
    add(db, "3.0.0")
    assert server(db).endpoints == [], "an endpoint that is gone does not come back"


def test_an_active_version_keeps_its_server(db):
    add(db, "1.0.0", "active")
    for call, args in ((mcp_servers.delete, ()), (mcp_servers.delete_version, ("1.0.0", NOW))):
        with pytest.raises(MlflowError):
            db.write_now(call, KEY, NAME, *args)
    become(db, "1.0.0", "deprecated")
    endpoint(db, "1.0.0")
    db.write_now(mcp_servers.delete, KEY, NAME)
    assert db.read_now(mcp_servers.every, KEY) == []
    assert server(db) if add(db, "1.0.0") else None, "its versions went with it"
    assert server(db).endpoints == []


def test_endpoints_lead_to_a_version_or_an_alias(db):
    add(db, "1.0.0")
    add(db, "2.0.0")
    made = endpoint(db, "1.0.0")
    db.write_now(mcp_servers.set_alias, KEY, NAME, "prod", "2.0.0")
    _, changed = db.write_now(mcp_endpoints.update, KEY, NAME, made.id, {"alias": "prod", "url": "https://b"}, "you", NOW + 1)
    assert (changed.version, changed.alias, changed.url, changed.updated_by) == (None, "prod", "https://b", "you")
    assert server(db).target(changed).version == "2.0.0"
    db.write_now(mcp_servers.delete_alias, KEY, NAME, "prod")
    assert server(db).endpoints == []
    for version, alias in ((None, None), ("1.0.0", "latest"), ("9.9.9", None), (None, "none")):
        with pytest.raises(MlflowError):
            endpoint(db, version, alias)
    with pytest.raises(MlflowError, match="both"):
        db.write_now(mcp_endpoints.update, KEY, NAME, endpoint(db, "1.0.0").id, {"alias": "latest", "version": "2.0.0"}, "you", NOW)


def test_tags_and_aliases(db):
    add(db, "1.0.0")
    db.write_now(mcp_servers.set_tag, KEY, NAME, "a", "1")
    db.write_now(mcp_servers.set_tag, KEY, NAME, "b", "2")
    db.write_now(mcp_servers.delete_tag, KEY, NAME, "a")
    db.write_now(mcp_servers.set_version_tag, KEY, NAME, "1.0.0", "c", "3")
    assert (server(db).tags, server(db).versions["1.0.0"].tags) == ({"b": "2"}, {"c": "3"})
    db.write_now(mcp_servers.delete_version_tag, KEY, NAME, "1.0.0", "c")
    for call, args in (
        (mcp_servers.delete_tag, ("a",)), (mcp_servers.delete_version_tag, ("1.0.0", "c")), (mcp_servers.set_alias, ("latest", "1.0.0")), (mcp_servers.set_alias, ("x", "9.9.9")),
        (mcp_servers.delete_alias, ("x",)), (mcp_servers.by_alias, ("x",)), (mcp_servers.set_version_tag, ("2.0.0", "a", "b")),
    ):
        with pytest.raises(MlflowError):
            db.write_now(call, KEY, NAME, *args)


def test_changes_of_a_server(db):
    db.write_now(mcp_servers.create, KEY, NAME, "d", [{"src": "https://x/y"}], "me", NOW)
    changed = db.write_now(mcp_servers.update, KEY, NAME, {"description": None, "display_name": "D", "icons": None}, "you", NOW + 1)
    assert (changed.description, changed.display_name, changed.icons, changed.updated_by, changed.created_by) == (None, "D", None, "you", "me")


def test_s5_another_workspaces_are_as_good_as_none(db):
    add(db, "1.0.0", key=OTHER.key)
    assert db.read_now(mcp_servers.every, KEY) == []
    for call, args in ((mcp_servers.get, ()), (mcp_servers.version_of, ("1.0.0",)), (mcp_servers.by_alias, ("latest",)), (mcp_endpoints.get, ("ae-1",))):
        with pytest.raises(MlflowError, match="not found"):
            db.read_now(call, KEY, NAME, *args)


def test_it_goes_with_its_workspace(db):
    add(db, "1.0.0")
    endpoint(db, "1.0.0")
    db.write_now(runs.delete_workspace, KEY)
    assert db.read_now(mcp_servers.every, KEY) == []


steps = st.lists(st.tuples(st.sampled_from(["add", "active", "draft", "deprecated", "delete", "alias", "endpoint"]), st.sampled_from(["1.0.0", "1.0.1", "2.0.0-a"]), st.sampled_from(["x", "latest"])), max_size=25)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_nothing_ever_leads_nowhere(db, steps):
    db.write_now(runs.delete_workspace, KEY)
    for what, version, alias in steps:
        try:
            if what == "add":
                add(db, version)
            elif what == "delete":
                db.write_now(mcp_servers.delete_version, KEY, NAME, version, NOW)
            elif what == "alias":
                db.write_now(mcp_servers.set_alias, KEY, NAME, alias, version)
            elif what == "endpoint":
                endpoint(db, alias=alias)
            else:
                become(db, version, what)
        except MlflowError:
            continue
        found = server(db)
        assert set(found.aliases.values()) <= set(found.versions)
        stored = [one for one in found.endpoints if found.target(one) is not None]
        assert stored == found.endpoints
        latest = found.latest()
        assert latest is None or all(mcp.precedence(one.version) <= mcp.precedence(latest.version) for one in found.versions.values() if one.status == latest.status)
