"""Filters of lists, as the clients of each type send them. Paging, views and orders are tests of every type (test_registry.py)."""

from __future__ import annotations

from lazward.contract.ids import ML
from tests.control_plane import Plane
from tests.make import CURATED

MODEL = {"modelUri": "azureml://datastores/workspaceblobstore/paths/x"}


def names(plane: Plane, path: str) -> list[str]:
    return [doc["name"] for doc in plane.get(path)["value"]]


class TestFilters:
    def test_models(self, plane: Plane):
        home = plane.workspace()
        for version, facts in (("1", {"stage": "Production", "tags": {"a": "1", "b": "x"}}), ("2", {"description": "The Best"}), ("v3", {"properties": {"p": "q"}})):
            plane.put(f"{home}/models/m/versions/{version}", {"properties": {**MODEL, **facts}})
        base = f"{home}/models/m/versions"
        assert names(plane, base) == ["v3", "2", "1"]
        for query, expected in (
            ("version=2", ["2"]), ("version=V3", ["v3"]), ("description=best", ["2"]), ("stage=production", ["1"]), ("tags=a=1", ["1"]), ("tags=a=1,b=x", ["1"]), ("tags=a=2", []),
            ("properties=p=q", ["v3"]), ("properties=p", ["v3"]), ("$top=1", ["v3"]), ("$orderBy=createdtime%20asc&$top=1", ["1"]), ("unknownFilter=x", ["v3", "2", "1"]),
        ):
            assert names(plane, f"{base}?{query}") == expected, query

    def test_jobs(self, plane: Plane):
        home = plane.workspace()
        for name, facts in (("a", {"experimentName": "One", "tags": {"k": "v"}}), ("b", {"properties": {"azureml.scheduleId": "s"}})):
            plane.put(f"{home}/jobs/{name}", {"properties": {"jobType": "Command", "command": "x", "environmentId": CURATED, **facts}})
        plane.job_is(f"{home}/jobs/a", "Completed")
        for query, expected in (
            ("", ["b", "a"]), ("jobType=Command", ["b", "a"]), ("jobType=Pipeline,command", ["b", "a"]), ("jobType=Sweep", []), ("status=Completed", ["a"]), ("status=Completed,Queued", ["b", "a"]),
            ("experimentName=one", ["a"]), ("tag=k", ["a"]), ("scheduled=true", ["b"]), ("scheduled=false", ["b", "a"]),
        ):
            assert names(plane, f"{home}/jobs?{query}") == expected, query

    def test_datastores(self, plane: Plane):
        home = plane.workspace()
        assert names(plane, f"{home}/datastores?count=30&isDefault=true&orderByAsc=false") == ["workspaceblobstore"]
        assert names(plane, f"{home}/datastores?names=workspacefilestore,nothing") == ["workspacefilestore"]
        assert set(names(plane, f"{home}/datastores?searchText=FILE")) == {"workspacefilestore"}
        assert len(names(plane, f"{home}/datastores")) == 4

    def test_others(self, plane: Plane):
        group = plane.group()
        home = plane.workspace(group)
        plane.put(f"{home}/connections/c", {"properties": {"category": "CustomKeys", "authType": "None", "target": "there"}})
        plane.put(f"{home}/onlineEndpoints/one", {"properties": {"authMode": "Key"}})
        plane.put(f"{home}/computes/cc", {"properties": {"computeType": "AmlCompute"}})
        for path, expected in (
            ("connections?category=customkeys", ["c"]), ("connections?category=git", []), ("connections?target=there", ["c"]), ("onlineEndpoints?name=ONE", ["one"]),
            ("onlineEndpoints?computeType=Managed", ["one"]), ("onlineEndpoints?computeType=Kubernetes", []), ("computes?computeType=AmlCompute", ["cc"]),
        ):
            assert names(plane, f"{home}/{path}") == expected, path
        workspaces = home.rsplit("/", 1)[0]
        assert names(plane, f"{workspaces}?kind=Default") == [home.rsplit("/", 1)[1]] and names(plane, f"{workspaces}?kind=hub") == []

    def test_a_link_keeps_the_filter(self, plane: Plane):
        home = plane.workspace()
        for n in range(5):
            plane.put(f"{home}/data/d/versions/{n}", {"properties": {"dataUri": "azureml://datastores/workspaceblobstore/paths/x", "tags": {"odd": str(n % 2)}}})
        page = plane.get(f"{home}/data/d/versions?tags=odd=0&$top=2&listViewType=All")
        more = plane.ok("GET", page["nextLink"].removeprefix(plane.chain.services.base_url)).json
        assert [d["name"] for d in (*page["value"], *more["value"])] == ["4", "2", "0"] and "nextLink" not in more


class TestPages:
    def test_one_that_may_be_read_is_found_behind_pages_that_may_not(self, plane: Plane):
        _, second, _ = plane.workspace(), plane.workspace(), plane.workspace()
        mine = plane.get(second)["id"]
        plane.authority.rights["one"] = [(f"{ML}/workspaces/read", mine)]
        page = plane.get(f"{plane.subscription}/providers/{ML}/workspaces?$top=1", token="one")
        assert [doc["id"] for doc in page["value"]] == [mine]
        assert "nextLink" in page  # there are more; which, is nobody's business
