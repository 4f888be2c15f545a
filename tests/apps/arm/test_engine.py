"""The generic verbs on types made for this test, and what goes wrong only when several write at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import pytest

from lazward.apps.arm import hooks
from lazward.apps.chain import json_response
from lazward.contract.errors import bad_request, conflict
from lazward.contract.ids import ML
from lazward.domain.resource import REGISTRY, resource
from tests.control_plane import Plane, versioned
from tests.make import CURATED

KEY = f"{ML}/workspaces/toys".lower()
MODEL = {"properties": {"modelUri": "azureml://datastores/workspaceblobstore/paths/x"}}


class Toy(msgspec.Struct, rename="camel"):
    colour: str
    wheel_count: int | None = None
    parts: dict[str, int] | None = None
    sizes: list[int] | None = None
    loud: bool | None = None


@pytest.fixture
def written() -> Iterator[list[str]]:
    """Declares a type with everything a declaration can have, and takes it away again."""
    said: list[str] = []

    def before_write(new, old, ctx):
        if new["properties"]["colour"] == "ugly":
            raise bad_request("Not that colour.", "properties.colour")
        new["properties"]["seenBefore"] = old is not None
        new["properties"]["home"] = ctx.workspace["properties"]["friendlyName"]

    resource(
        "workspaces/toys", Toy, tracked=True, patchable=True, before_write=before_write, immutable=frozenset({"wheelCount"}),
        matches={"colour": lambda doc, value: doc["properties"]["colour"] == value},
    )
    resource("workspaces/toys/made", Toy, managed=True)

    @hooks.written("workspaces/toys")
    def stored(tx, row, before, ctx):
        said.append(f"{'changed' if before else 'made'} {row.name}")
        if row.properties["colour"] == "late":
            raise conflict("Too late.", "properties.colour")

    @hooks.deleting("workspaces/toys")
    def going(tx, row, ctx):
        said.append(f"going {row.name}")

    @hooks.deleting("workspaces/toys")
    def refusing(tx, row, ctx):
        if row.properties["colour"] == "kept":
            raise conflict("Somebody plays with it.", code="ResourceInUse")

    @hooks.action("workspaces/toys", "roll", right="roll/read")
    async def roll(call):
        return json_response({"rolled": call.row.name, "body": call.body})

    yield said
    for kind in (KEY, KEY + "/made"):
        REGISTRY.pop(kind, None)
    hooks.WRITTEN.pop(KEY)
    hooks.DELETING.pop(KEY)
    hooks.ACTIONS.pop((KEY, "roll"))
    hooks.ACTION_RIGHTS.pop((KEY, "roll"))


@pytest.fixture
def toy(plane: Plane, written) -> str:
    return f"{plane.shared('workspaces')}/toys/{plane.name('Toy')}"


RED = {"location": "local", "properties": {"colour": "red"}}


class TestDeclaration:
    def test_before_write_and_hook_see_old_and_new(self, plane: Plane, toy: str, written: list[str]):
        before = plane.state()
        first = plane.put(toy, RED)
        assert plane.state() != before  # what tests of refusals compare does tell a write
        assert (first["properties"]["seenBefore"], first["properties"]["home"]) == (False, plane.shared("workspaces").rsplit("/", 1)[1])
        assert plane.put(toy, RED)["properties"]["seenBefore"] is True
        name = toy.rsplit("/", 1)[1]
        assert written == [f"made {name}", f"changed {name}"]

    @pytest.mark.parametrize("colour", ["ugly", "late"])
    def test_what_a_function_refuses_is_not_stored(self, plane: Plane, toy: str, colour: str):
        before = plane.state()
        answer = plane.send("PUT", versioned(toy), {"properties": {"colour": colour}})
        assert answer.status in (400, 409) and answer.error["target"] == "properties.colour"
        assert plane.state() == before
        assert plane.send("GET", versioned(toy)).status == 404

    def test_every_deleting_hook_has_its_say(self, plane: Plane, toy: str, written: list[str]):
        plane.put(toy, {"properties": {"colour": "kept"}})
        before = plane.state()
        answer = plane.send("DELETE", versioned(toy))
        assert (answer.status, answer.error["code"]) == (409, "ResourceInUse")
        assert plane.state() == before and written[-1].startswith("going")

    def test_managed_types_are_not_written_by_clients(self, plane: Plane, toy: str):
        plane.put(toy, RED)
        for method in ("PUT", "PATCH"):
            answer = plane.send(method, versioned(toy + "/made/x"), RED)
            assert answer.status == 405 and "PUT" not in answer.headers["allow"]

    def test_action_right_and_body(self, plane: Plane, toy: str):
        plane.put(toy, RED)
        plane.authority.rights["roller"] = [(f"{ML}/workspaces/toys/roll/read", "/")]
        answer = plane.send("POST", versioned(toy + "/ROLL"), {"far": 1}, token="roller")
        assert answer.json == {"rolled": toy.rsplit("/", 1)[1], "body": {"far": 1}}
        assert plane.send("POST", versioned(toy + "x/roll"), {}).status == 404
        assert plane.send("PUT", versioned(toy + "/roll"), {}).status == 405

    def test_lists_filter_by_what_the_type_declares(self, plane: Plane, toy: str):
        plane.put(toy, RED)
        plane.put(toy + "Blue", {"properties": {"colour": "blue"}, "tags": {"kind": "x", "n": 1, "yes": True, "no": None}})
        collection, name = toy.rsplit("/", 1)

        def names(query: str) -> set[str]:
            return {d["name"] for d in plane.get(f"{collection}?{query}&$top=1000")["value"]} & {name, name + "Blue"}

        assert names("colour=blue") == names("tags=kind=x") == names("tags=kind") == names("tags=n=1,yes=true") == {name + "Blue"}
        assert names("tags=kind=y") == names("tags=kind=x,n=2") == set()

    def test_pages_are_full_also_where_a_filter_lets_little_through(self, plane: Plane, toy: str):
        base = plane.workspace()
        for index in range(12):
            plane.put(f"{base}/toys/t{index}", {"properties": {"colour": "blue" if index % 3 == 0 else "red"}})
        first = plane.get(f"{base}/toys?colour=blue&$top=2")
        assert [d["name"] for d in first["value"]] == ["t0", "t3"]
        second = plane.ok("GET", first["nextLink"].removeprefix(plane.chain.services.base_url)).json
        assert [d["name"] for d in second["value"]] == ["t6", "t9"] and "nextLink" not in second


class TestValues:
    def test_numbers_written_as_text_are_stored_as_numbers(self, plane: Plane, toy: str):
        given = {"colour": "red", "wheelCount": "4", "parts": {"a": "1"}, "sizes": ["1", 2], "loud": "false", "more": {"wheelCount": "4"}}
        stored = plane.put(toy, {"properties": given})["properties"]
        assert {k: stored[k] for k in given} == {"colour": "red", "wheelCount": 4, "parts": {"a": 1}, "sizes": [1, 2], "loud": False, "more": {"wheelCount": "4"}}

    @pytest.mark.parametrize(("member", "value", "target"), [
        ("wheelCount", "four", "properties.wheelCount"), ("parts", {"a": "x"}, "properties.parts[...]"), ("sizes", [1, "x"], "properties.sizes[1]"), ("loud", 3, "properties.loud"),
    ])
    def test_what_does_not_fit_is_named(self, plane: Plane, toy: str, member: str, value, target: str):
        answer = plane.send("PUT", versioned(toy), {"properties": {"colour": "red", member: value}})
        assert (answer.status, answer.error["code"], answer.error["target"]) == (400, "ValidationError", target)

    @pytest.mark.parametrize("value", [2**63, 10**29, -(2**70), 1e308, 5e-324, 0.1, "\u202e", "\U0001f600", "é", "\ufffe", "x" * 100_000])
    def test_values_come_back_as_they_went(self, plane: Plane, toy: str, value):
        plane.put(toy, {"properties": {"colour": "red", "any": {"x": [value]}}})
        got = plane.get(toy)["properties"]["any"]["x"]
        assert [float(x) for x in got] == [value] if isinstance(value, float) else got == [value]  # PostgreSQL gives 1e308 back as digits

    @pytest.mark.parametrize("raw", ["1e999", "NaN", "-Infinity", '"\\ud800"', '"\\u0000"', "9" * 5000])
    def test_values_that_cannot_be_stored_are_refused(self, plane: Plane, toy: str, raw: str):
        before = plane.state()
        answer = plane.send("PUT", versioned(toy), b'{"properties": {"colour": "red", "any": {"x": [%s]}}}' % raw.encode())
        assert (answer.status, answer.error["code"]) == (400, "InvalidRequestContent")
        assert plane.state() == before

    def test_merge_patch(self, plane: Plane, toy: str):
        plane.put(toy, {"tags": {"a": "1", "b": "2"}, "properties": {"colour": "red", "parts": {"a": 1, "b": 2}, "sizes": [1, 2]}})
        patch = {"tags": {"a": None, "c": "3"}, "properties": {"parts": {"b": None, "c": 3}, "sizes": [3], "colour": "blue"}}
        doc = plane.ok("PATCH", toy, patch).json
        assert doc["tags"] == {"b": "2", "c": "3"}
        assert {k: doc["properties"][k] for k in ("parts", "sizes", "colour")} == {"parts": {"a": 1, "c": 3}, "sizes": [3], "colour": "blue"}
        assert "parts" not in plane.ok("PATCH", toy, {"properties": {"parts": None}}).json["properties"]
        assert plane.send("PATCH", versioned(toy), {"properties": None}).error["target"] == "properties"
        assert plane.send("PATCH", versioned(toy), {"properties": {"colour": None}}).status == 400


LEADING_ELSEWHERE = ["..", ".", "a%00b", "a%2fb", "a%5cb", "a%3fb", "a%23b", "a%2525", "%20a", "a%20", "a%0ab", "a%0d%0ab", "a%e2%80%aeb", "a%e2%80%8bb", "x" * 256, "a%c2%adb", "a%cc%81"]


class TestNames:
    @pytest.mark.parametrize("name", LEADING_ELSEWHERE)
    def test_s2_names_that_lead_elsewhere_are_refused(self, plane: Plane, toy: str, name: str):
        before = plane.state()
        home = plane.shared("workspaces")
        for path, body in ((toy.rsplit("/", 1)[0] + "/" + name, RED), (f"{home}/models/{name}/versions/1", MODEL), (f"{home}/models/m/versions/{name}", MODEL)):
            answer = plane.send("PUT", versioned(path), body)
            assert answer.status in (400, 405, 501), (path, answer.status, answer.body)
        assert plane.state() == before

    @pytest.mark.parametrize("name", ["a", "A-b_c.d", "%e5%90%8d%e5%89%8d", "x" * 200, "v1.0", "a%20b", "a+b", "a:b", "a@b", "a;b", "a'b", "(a)"])
    def test_other_names_are_taken_and_their_pages_can_be_followed(self, plane: Plane, name: str):
        home = plane.workspace()
        for index in (1, 2):
            plane.put(f"{home}/models/{name}/versions/{index}", MODEL)
        first = plane.get(f"{home}/models/{name}/versions?$top=1")
        assert first["nextLink"].isascii() and " " not in first["nextLink"]
        second = plane.ok("GET", first["nextLink"].removeprefix(plane.chain.services.base_url)).json
        assert [d["name"] for d in (*first["value"], *second["value"])] == ["2", "1"]

    def test_a_name_is_no_pattern(self, plane: Plane):
        """'_' stands for any character in LIKE: deleting a_b must leave what is below axb."""
        home = plane.workspace()
        for name in ("a_b", "axb", "a_bc"):
            plane.put(f"{home}/models/{name}/versions/1", MODEL)
        plane.ok("DELETE", f"{home}/models/a_b")
        assert plane.send("GET", versioned(f"{home}/models/a_b/versions/1")).status == 404
        assert plane.get(f"{home}/models/axb/versions/1") and plane.get(f"{home}/models/a_bc/versions/1")


class TestVersions:
    def put(self, plane: Plane, home: str, version: str, **more):
        return plane.put(f"{home}/models/m/versions/{version}", {"properties": {**MODEL["properties"], **more}})

    def container(self, plane: Plane, home: str):
        facts = plane.get(f"{home}/models/m")["properties"]
        return facts["latestVersion"], facts["nextVersion"]

    def test_the_container_counts(self, plane: Plane):
        home, long = plane.workspace(), "9" * 30
        plane.put(f"{home}/models/m", {"properties": {"latestVersion": "99", "nextVersion": "100"}})
        assert self.container(plane, home) == (None, "1")  # only the server counts
        for version, following in (("1", "2"), ("2", "3"), ("10", "11"), ("3", "11"), ("beta", "11"), ("007", "11"), (long, "11")):
            self.put(plane, home, version)
            assert self.container(plane, home) == (version, following)
        plane.put(f"{home}/models/m", {"properties": {"description": "x", "nextVersion": "1"}})
        assert self.container(plane, home) == (long, "11")

    def test_deleting_a_version_updates_the_container(self, plane: Plane):
        home = plane.workspace()
        for version in "123":
            self.put(plane, home, version)
        plane.ok("DELETE", f"{home}/models/m/versions/3")
        assert self.container(plane, home) == ("2", "4")  # a number is never given out twice
        plane.ok("DELETE", f"{home}/models/m/versions/1")
        assert self.container(plane, home) == ("2", "4")
        plane.ok("DELETE", f"{home}/models/m/versions/2")
        assert self.container(plane, home) == (None, "4")

    def test_archived_versions_are_not_the_latest(self, plane: Plane):
        home = plane.workspace()
        for version in "12":
            self.put(plane, home, version)
        self.put(plane, home, "2", isArchived=True)
        assert self.container(plane, home) == ("1", "3")
        self.put(plane, home, "2", isArchived=False)
        assert self.container(plane, home) == ("2", "3")

    def test_deleting_a_container_takes_its_versions(self, plane: Plane):
        home = plane.workspace()
        self.put(plane, home, "5")
        plane.ok("DELETE", f"{home}/models/m")
        assert plane.send("GET", versioned(f"{home}/models/m/versions/5")).status == 404
        self.put(plane, home, "1")
        assert self.container(plane, home) == ("1", "2")

    def test_code_is_found_by_its_content_in_the_whole_workspace(self, plane: Plane):
        home, other = plane.workspace(), plane.workspace()
        for where, name, digest in ((home, "a", "h1"), (home, "b", "h2"), (other, "c", "h1")):
            plane.put(f"{where}/codes/{name}/versions/1", {"properties": {"codeUri": "https://host/c", "properties": {"hash_sha256": digest}}})
        found = plane.get(f"{home}/codes/fresh/versions?hash=h1&hashVersion=202208")["value"]
        assert [d["id"] for d in found] == [f"{home}/codes/a/versions/1"]
        plane.authority.rights["b"] = [("*", f"{home}/codes/b"), ("*", f"{home}/codes/fresh")]
        assert plane.get(f"{home}/codes/fresh/versions?hash=h1", token="b")["value"] == []  # S5: what is found by content is still another's

    def test_a_conda_file_printed_anew_is_the_same(self, plane: Plane):
        path = f"{plane.workspace()}/environments/e/versions/1"
        plane.put(path, {"properties": {"image": "i", "condaFile": "name: a\ndependencies:\n- python=3.11\n"}})
        plane.put(path, {"properties": {"image": "i", "condaFile": "dependencies: [python=3.11]\nname: a\n"}})
        other = plane.send("PUT", versioned(path), {"properties": {"image": "i", "condaFile": "dependencies: [python=3.12]\nname: a\n"}})
        assert (other.status, other.error["target"]) == (409, "properties.condaFile")

    def test_s19_yaml_that_stands_for_more_than_it_says_is_only_compared_as_text(self, plane: Plane):
        path = f"{plane.workspace()}/environments/e/versions/1"
        bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
        for odd in (bomb, "a: 2020-99-99\nb: 1\n", "[" * 3000 + "\n"):
            plane.put(path, {"properties": {"condaFile": odd}})
            plane.put(path, {"properties": {"condaFile": odd}})
            assert plane.send("PUT", versioned(path), {"properties": {"condaFile": odd + " \n"}}).status == 409
            plane.ok("DELETE", path)


class TestAtOnce:
    WRITERS = 16

    def test_no_version_is_lost(self, plane: Plane):
        home = plane.workspace()
        answers = plane.together([("PUT", versioned(f"{home}/models/m/versions/{n}"), MODEL) for n in range(1, self.WRITERS + 1)])
        assert [a.status for a in answers] == [201] * self.WRITERS, [a.body for a in answers if a.status != 201]
        facts = plane.get(f"{home}/models/m")["properties"]
        listed = plane.get(f"{home}/models/m/versions")["value"]
        assert len(listed) == self.WRITERS
        assert (facts["latestVersion"], facts["nextVersion"]) == (listed[0]["name"], str(self.WRITERS + 1))

    def test_one_of_many_creates(self, plane: Plane):
        path = f"{plane.workspace()}/data/d/versions/1"
        answers = plane.together([("PUT", versioned(path), {"properties": {"dataUri": f"azureml://datastores/workspaceblobstore/paths/{n}"}}) for n in range(self.WRITERS)])
        assert sorted(a.status for a in answers) == [201] + [409] * (self.WRITERS - 1)

    def test_one_of_many_changes_what_all_have_read(self, plane: Plane, toy: str):
        plane.put(toy, RED)
        etag = plane.send("GET", versioned(toy)).headers["etag"]

        async def every():
            return await asyncio.gather(*(
                plane.request("PATCH", versioned(toy), {"tags": {f"t{n}": "x"}}, headers={"If-Match": etag}) for n in range(self.WRITERS)
            ))

        assert sorted(a.status for a in plane.runner.run(every())) == [200] + [412] * (self.WRITERS - 1)
        assert len(plane.get(toy)["tags"]) == 1

    def test_no_change_of_many_is_lost(self, plane: Plane, toy: str):
        plane.put(toy, RED)
        answers = plane.together([("PATCH", versioned(toy), {"tags": {f"t{n}": "x"}}) for n in range(self.WRITERS)])
        assert [a.status for a in answers] == [200] * self.WRITERS
        assert len(plane.get(toy)["tags"]) == self.WRITERS

    def test_a_job_and_the_end_of_its_environment(self, plane: Plane):
        """Either the job is there and with it the environment, or neither."""
        home = plane.workspace()
        for n in range(6):
            environment = f"{home}/environments/e{n}/versions/1"
            plane.put(environment, {"properties": {"image": "python:3.11"}})
            job = {"properties": {"jobType": "Command", "command": "x", "environmentId": environment}}
            put, delete = plane.together([("PUT", versioned(f"{home}/jobs/j{n}"), job), ("DELETE", versioned(environment), None)])
            assert (put.status, delete.status) in ((201, 409), (400, 200))

    def test_a_workspace_that_goes_takes_nothing_new(self, plane: Plane):
        home = plane.workspace()
        job = {"properties": {"jobType": "Command", "command": "x", "environmentId": CURATED}}
        delete, *puts = plane.together([("DELETE", versioned(home), None), *(("PUT", versioned(f"{home}/jobs/j{n}"), job) for n in range(6))])
        assert delete.status == 202
        assert {a.status for a in puts} <= {201, 409}
        after = plane.send("PUT", versioned(f"{home}/models/m/versions/1"), MODEL)
        assert (after.status, after.error["code"]) == (409, "Conflict")
        plane.settle()
        assert plane.send("GET", versioned(home)).status == 404
