"""Every type in the REGISTRY keeps every convention of ARM: one class over all of them, so that a new type is tested by being declared."""

from __future__ import annotations

import pytest

import lazward.apps.control  # noqa: F401 - fills REGISTRY and ACTIONS
from lazward.apps.arm import coverage
from lazward.apps.arm.engine import ACTIONS
from lazward.contract.ids import ML
from lazward.domain.resource import REGISTRY
from tests.control_plane import versioned
from tests.make import KINDS, at, set_at
from tests.thing import DECLARED, PATHS, Thing


def test_every_type_has_a_factory():
    assert sorted(KINDS) == DECLARED, "a new type needs an entry in tests/make.py"


def test_what_is_declared_as_action_is_there_and_nothing_else():
    declared = {(d.key, verb.lower()) for d in REGISTRY.values() for verb in d.actions}
    assert declared == set(ACTIONS)


def codes_of(path: str, verb: str) -> set[int]:
    """Success codes that the clients take, from the table of Azure's operations; empty where it has no such operation."""
    wanted = path.split("/")
    for op in coverage.operations():
        pieces = op.path.split("/")[1:]
        kinds = [p for p in pieces if not p.startswith("{")]
        if kinds == wanted and op.verb == verb and pieces[-1].startswith("{") and op.path.startswith("RG/"):
            return {int(code) for code in op.codes.split(",")}
    return set()


@pytest.mark.parametrize("path", PATHS)
class TestEveryType:
    # ---- create, read, replace -------------------------------------------------------------------------------------------

    def test_put_creates(self, thing: Thing, path: str):
        answer = thing.send("PUT", thing.body)
        assert answer.status == thing.declared.created
        assert answer.status in codes_of(path, "PUT")
        doc = answer.json
        expected = thing.declared.id_of
        assert doc["id"] == thing.id or (expected and doc["id"].endswith(thing.id.split("/registries/", 1)[-1]))
        assert doc["name"] == thing.name
        assert doc["type"] == f"{ML}/{path}"
        assert doc["properties"]["provisioningState"] == ("Creating" if thing.declared.provision else "Succeeded")
        assert answer.headers["etag"].strip('"')
        assert ("azure-asyncoperation" in answer.headers) == bool(thing.declared.provision)
        assert thing.send("GET").json == doc
        for member in ("tags", "location"):
            if member in thing.body and thing.declared.tracked:
                assert doc[member] == thing.body[member]

    def test_put_says_who_and_when(self, thing: Thing, path: str):
        before = thing.plane.clock.at
        data = thing.made()["systemData"]
        assert data["createdBy"] == data["lastModifiedBy"] == "owner"
        assert data["createdByType"] == data["lastModifiedByType"] == "Application"
        assert data["createdAt"] == data["lastModifiedAt"]
        thing.plane.authority.rights["second"] = [("*", "/")]
        again = thing.plane.put(thing.id, thing.changed(), token="second")["systemData"]
        assert (again["createdAt"], again["createdBy"]) == (data["createdAt"], "owner")
        assert again["lastModifiedBy"] == "second"
        assert again["lastModifiedAt"] > data["createdAt"]
        assert data["createdAt"].endswith("Z") and before < thing.plane.clock.at

    def test_put_replaces(self, thing: Thing, path: str):
        thing.made()
        answer = thing.send("PUT", thing.changed())
        assert answer.status == thing.declared.updated
        assert answer.status in codes_of(path, "PUT")
        where, value = thing.kind.change
        assert at(answer.json, where) == value
        assert thing.send("GET").json == answer.json

    def test_put_of_what_was_read_changes_nothing(self, thing: Thing, path: str):
        """Clients read, flip a member and send the whole document back."""
        thing.made()
        read = thing.send("GET").json
        thing.plane.put(thing.id, read)
        thing.plane.settle()
        again = thing.send("GET").json
        for doc in (read, again):
            doc.pop("systemData")
            for moving in ("modifiedOn",):
                doc["properties"].pop(moving, None)
            doc["properties"].get("properties", {}).pop("allocationStateTransitionTime", None) if isinstance(doc["properties"].get("properties"), dict) else None
        assert again == read

    def test_read_only_members_of_a_body_are_ignored(self, thing: Thing, path: str):
        body = {**thing.body, "id": "/subscriptions/x", "name": "other", "type": "A/b", "etag": "e", "lazward": {"instances": [1]},
                "systemData": {"createdBy": "somebody else"}, "properties": {**thing.body["properties"], "provisioningState": "Failed"}}
        doc = thing.plane.put(thing.id, body)
        assert doc["name"] == thing.name and doc["type"] == f"{ML}/{path}"
        assert doc["systemData"]["createdBy"] == "owner"
        assert doc["properties"]["provisioningState"] != "Failed"
        assert "lazward" not in doc and "etag" not in doc

    def test_head_is_get_without_a_body(self, thing: Thing, path: str):
        thing.made()
        head = thing.send("HEAD")
        assert head.status == 200
        assert head.headers["etag"] == thing.send("GET").headers["etag"]

    def test_ids_compare_without_regard_to_case_and_keep_theirs(self, thing: Thing, path: str):
        doc = thing.made()
        loud = thing.id.upper()
        assert thing.plane.get(loud) == thing.send("GET").json
        if "/versions/" not in thing.id:  # a version "1" has no case
            again = thing.plane.put(loud, thing.changed())
            thing.plane.settle()
            assert (again["id"], again["name"]) == (doc["id"], doc["name"])
        listed = thing.plane.get(thing.collection.upper() + "?listViewType=All&$top=1000")["value"]
        assert [d["id"] for d in listed if d["name"].lower() == thing.name.lower()] == [doc["id"]]
        assert thing.plane.ok("DELETE", loud).status in codes_of(path, "DELETE")
        thing.plane.settle()
        assert thing.send("GET").status == 404

    # ---- what is missing -------------------------------------------------------------------------------------------------

    def test_404_names_what_is_missing(self, thing: Thing, path: str):
        error = thing.send("GET").error
        assert thing.send("GET").status == 404
        lacking = thing.parent.rsplit("/", 1)[1] if thing.declared.versions else thing.name  # of a version, its container comes first
        assert error["code"] == "ResourceNotFound" and f"'{lacking}'" in error["message"]
        pieces = thing.id.split("/")
        for index, code in ((2, "SubscriptionNotFound"), (4, "ResourceGroupNotFound"), *([(8, "ResourceNotFound")] if len(pieces) > 9 else [])):
            elsewhere = [*pieces]
            elsewhere[index] = "nowhere"
            for method in ("GET", "PUT"):
                answer = thing.plane.send(method, versioned("/".join(elsewhere)), thing.body if method == "PUT" else None)
                assert answer.status == 404, (method, answer.body)
                assert "nowhere" in answer.error["message"]
                assert answer.error["code"] in (code, "ParentResourceNotFound"), (method, index)

    def test_listing_what_has_no_parent_is_404(self, thing: Thing, path: str):
        pieces = thing.collection.split("/")
        for index in (2, 4, *([8] if len(pieces) > 8 else [])):
            elsewhere = [*pieces]
            elsewhere[index] = "nowhere"
            answer = thing.plane.send("GET", versioned("/".join(elsewhere)))
            assert answer.status == 404, (index, answer.body)
            assert "nowhere" in answer.error["message"]

    # ---- lists -----------------------------------------------------------------------------------------------------------

    def test_list_and_pages(self, thing: Thing, path: str):
        made = [thing.made()["id"]]
        for _ in range(4):
            made.append(thing.another().made()["id"])
        seen: list[str] = []
        url = versioned(thing.collection + "?$top=2")
        for _ in range(200):
            answer = thing.plane.ok("GET", url)
            page = answer.json
            assert len(page["value"]) <= 2
            seen += [doc["id"] for doc in page["value"]]
            if "nextLink" not in page:
                break
            base = thing.plane.chain.services.base_url
            assert page["nextLink"].startswith(base + "/")
            url = page["nextLink"].removeprefix(base)
        else:
            pytest.fail("the pages do not end")
        assert len(seen) == len(set(seen))
        mine = [i for i in seen if i in made]
        assert mine == (made[::-1] if thing.declared.newest_first else made)
        ascending = [d["id"] for d in thing.plane.get(thing.collection + "?$top=1000&$orderBy=createdtime%20asc")["value"] if d["id"] in made]
        descending = [d["id"] for d in thing.plane.get(thing.collection + "?$top=1000&$orderBy=createdtime%20desc")["value"] if d["id"] in made]
        assert (ascending, descending) == (made, made[::-1])

    def test_a_list_shows_what_get_shows(self, thing: Thing, path: str):
        thing.made()
        listed = {d["name"]: d for d in thing.plane.get(thing.collection + "?$top=1000")["value"]}
        assert listed[thing.name] == thing.send("GET").json

    @pytest.mark.parametrize(("query", "target"), [
        ("$top=0", "$top"), ("$top=-1", "$top"), ("$top=x", "$top"), ("$skip=5", "$skip"), ("$skip=!", "$skip"), ("listViewType=Some", "listViewType"),
        ("$skip=czk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "$skip"), ("$orderBy=nonsense", "$orderBy"),
    ])
    def test_list_arguments_are_checked(self, thing: Thing, path: str, query: str, target: str):
        answer = thing.plane.send("GET", versioned(f"{thing.collection}?{query}"))
        assert answer.status == 400, answer.body
        assert answer.error["target"] == target

    def test_archived_ones_are_hidden(self, thing: Thing, path: str):
        if thing.declared.views:
            return  # views of its own, which its own tests know
        thing.made()

        def shown(view: str) -> bool:
            return thing.name in [d["name"] for d in thing.plane.get(f"{thing.collection}?$top=1000{view}")["value"]]

        assert (shown(""), shown("&listViewType=ActiveOnly"), shown("&listViewType=All")) == (True, True, True)
        read = thing.send("GET").json
        read["properties"]["isArchived"] = True
        answer = thing.send("PUT", read)
        thing.plane.settle()
        if not thing.declared.archivable:
            assert shown("") and shown("&listViewType=ArchivedOnly")
            return
        assert answer.status == thing.declared.updated
        assert [shown(v) for v in ("", "&listViewType=ActiveOnly", "&listViewType=ArchivedOnly", "&listViewType=All")] == [False, False, True, True]
        assert thing.send("GET").json["properties"]["isArchived"] is True  # it can still be read
        read["properties"]["isArchived"] = False
        thing.plane.put(thing.id, read)
        assert shown("") and not shown("&listViewType=ArchivedOnly")

    # ---- conditions ------------------------------------------------------------------------------------------------------

    def test_if_none_match_of_a_get(self, thing: Thing, path: str):
        thing.made()
        etag = thing.send("GET").headers["etag"]
        for value in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            answer = thing.send("GET", headers={"If-None-Match": value})
            assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
        assert thing.send("GET", headers={"If-None-Match": '"other"'}).status == 200
        thing.plane.put(thing.id, thing.changed())
        assert thing.send("GET", headers={"If-None-Match": etag}).status == 200

    def test_conditions_of_a_put(self, thing: Thing, path: str):
        missing = thing.send("PUT", thing.body, headers={"If-Match": "*"})
        assert missing.status == 412 and thing.send("GET").status == 404
        assert thing.send("PUT", thing.body, headers={"If-None-Match": "*"}).status == thing.declared.created
        thing.plane.settle()
        etag, before = thing.send("GET").headers["etag"], thing.plane.state()
        for headers in ({"If-None-Match": "*"}, {"If-Match": '"other"'}, {"If-None-Match": etag}):
            refused = thing.send("PUT", thing.changed(), headers=headers)
            assert refused.status == 412
            assert refused.error["code"] == "PreconditionFailed" and refused.error["target"] == next(iter(headers))
        assert thing.plane.state() == before
        assert thing.send("PUT", thing.changed(), headers={"If-Match": etag}).status == thing.declared.updated
        thing.plane.settle()
        assert thing.send("PUT", thing.changed(), headers={"If-Match": etag}).status == 412  # it is another's now

    def test_conditions_of_a_delete(self, thing: Thing, path: str):
        thing.made()
        refused = thing.send("DELETE", headers={"If-Match": '"other"'})
        assert (refused.status, refused.error["code"]) == (412, "PreconditionFailed")
        etag = thing.send("GET").headers["etag"]
        assert thing.send("DELETE", headers={"If-Match": etag}).status in codes_of(path, "DELETE")

    # ---- change ----------------------------------------------------------------------------------------------------------

    def test_patch(self, thing: Thing, path: str):
        missing = thing.send("PATCH", {"tags": {}})
        doc = thing.made()
        where, value = thing.kind.change
        answer = thing.send("PATCH", set_at({}, where, value))
        if not thing.declared.patchable:
            assert missing.status == answer.status == 405
            assert "PATCH" not in answer.headers["allow"] and "GET" in answer.headers["allow"]
            assert answer.error["code"] == "MethodNotAllowed"
            return
        assert missing.status == 404
        assert answer.status == thing.declared.updated and answer.status in codes_of(path, "PATCH")
        assert at(answer.json, where) == value
        thing.plane.settle()
        if thing.declared.tracked:
            assert answer.json.get("tags") == doc.get("tags")  # what is not named stays
            assert thing.send("PATCH", {"tags": {"b": "2"}}).json["tags"] == {**(doc.get("tags") or {}), "b": "2"}
            thing.plane.settle()
            assert "a" not in thing.send("PATCH", {"tags": {"a": None}}).json["tags"]
            thing.plane.settle()
            assert not thing.send("PATCH", {"tags": None}).json.get("tags")
            thing.plane.settle()
        if where == ("properties", "description"):
            assert not thing.send("PATCH", {"properties": {"description": None}}).json["properties"].get("description")
            thing.plane.settle()
        assert thing.send("PATCH", {"properties": 5}).error["target"] == "properties"
        assert thing.send("PATCH", [1]).status == 400

    def test_what_may_not_change_is_refused(self, thing: Thing, path: str):
        if thing.kind.frozen is None:
            assert not thing.declared.immutable
            return
        thing.made()
        before = thing.plane.state()
        where, value = thing.kind.frozen
        answer = thing.send("PUT", set_at(thing.body, where, value))
        assert answer.status in (400, 409), answer.body
        assert answer.error["target"].startswith(".".join(where[:2]))
        assert thing.plane.state() == before

    def test_a_version_keeps_each_immutable_member(self, thing: Thing, path: str):
        """Given with another value, left out, or given where there was none."""
        thing.made()
        stored = thing.send("GET").json
        before = thing.plane.state()
        for member in thing.declared.immutable:
            was = stored["properties"].get(member)
            others = [None, "other"] if was is not None else [{"contextUri": "https://host/x"} if member == "build" else "other"]
            for other in others:
                body = set_at(stored, ("properties", member), other)
                if other is None:
                    del body["properties"][member]
                answer = thing.send("PUT", body)
                assert answer.status in (400, 409), (member, other, answer.body)
        assert thing.plane.state() == before

    def test_location_and_type_stay(self, thing: Thing, path: str):
        if not thing.declared.tracked:
            return
        thing.made()
        answer = thing.send("PUT", {**thing.body, "location": "elsewhere"})
        assert (answer.status, answer.error["code"], answer.error["target"]) == (409, "InvalidResourceLocation", "location")
        assert thing.send("PUT", {**thing.body, "location": "Local"}).status == thing.declared.updated

    # ---- delete ----------------------------------------------------------------------------------------------------------

    def test_delete(self, thing: Thing, path: str):
        assert thing.send("DELETE").status == 204  # there was none
        thing.made()
        answer = thing.send("DELETE")
        assert answer.status in codes_of(path, "DELETE")
        assert answer.status == (202 if thing.declared.deprovision else thing.declared.deleted)
        if thing.declared.deprovision:
            assert answer.headers["location"] and answer.headers["azure-asyncoperation"] and answer.headers["retry-after"] == "1"
            assert thing.send("GET").json["properties"]["provisioningState"] == "Deleting"
            again = thing.send("PUT", thing.changed())
            assert (again.status, again.error["code"]) == (409, "Conflict")  # nothing comes back to life
            assert thing.send("DELETE").headers["azure-asyncoperation"] == answer.headers["azure-asyncoperation"]
            operation = thing.plane.ok("GET", answer.headers["azure-asyncoperation"].removeprefix(thing.plane.chain.services.base_url)).json
            assert operation["status"] == "InProgress"
        thing.plane.settle()
        assert thing.send("GET").status == 404
        assert thing.send("DELETE").status == 204
        assert thing.name not in [d["name"] for d in thing.plane.get(thing.collection + "?listViewType=All&$top=1000")["value"]]
        assert thing.send("PUT", thing.body).status == thing.declared.created  # the name is free again
