"""Every type in the REGISTRY refuses alike: unknown ways, missing rights, bodies that are no resource."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import lazward.apps.control  # noqa: F401 - fills REGISTRY and ACTIONS
from lazward.apps.arm.engine import ACTION_RIGHTS, ACTIONS
from lazward.contract.ids import ML
from lazward.domain.rbac_operations import OPERATIONS
from lazward.domain.resource import REGISTRY
from tests.control_plane import Plane, versioned
from tests.make import KINDS, item_id, parent_of, set_at
from tests.thing import PATHS, Thing

# Names the verb rule gives that Azure's printed list lacks.
NOT_PRINTED = {f"{ML}/workspaces/environments/delete", f"{ML}/workspaces/datastores/write"}


@pytest.mark.parametrize("path", PATHS)
class TestEveryType:
    # ---- verbs and ways that are not there ---------------------------------------------------------------------------------

    def test_other_verbs(self, thing: Thing, path: str):
        thing.made()
        for method, target in (("POST", thing.id), ("PUT", thing.collection), ("DELETE", thing.collection), ("PATCH", thing.collection)):
            answer = thing.plane.send(method, versioned(target), {"properties": {}})
            assert (answer.status, answer.error["code"]) == (405, "MethodNotAllowed"), (method, target)
            assert method not in answer.headers["allow"].split(", ") and "GET" in answer.headers["allow"]
        assert thing.plane.send("PROPFIND", versioned(thing.id)).status == 405
        assert thing.send("GET").status == 200

    def test_what_is_not_built_is_501(self, thing: Thing, path: str):
        thing.made()
        for method, target in (("POST", f"{thing.id}/noSuchAction"), ("GET", f"{thing.id}/noSuchThings"), ("PUT", f"{thing.id}/noSuchThings/x")):
            answer = thing.plane.send(method, versioned(target), {"properties": {}})
            assert (answer.status, answer.error["code"]) == (501, "NotImplemented"), target
            assert "noSuch" in answer.error["message"]

    def test_api_version(self, thing: Thing, path: str):
        before = thing.plane.state()
        for query, code in (
            ("", "MissingApiVersionParameter"), ("?api-version=", "MissingApiVersionParameter"), ("?api-version=2025", "InvalidApiVersionParameter"),
            ("?api-version=2025-12-01%0a", "InvalidApiVersionParameter"), ("?api-version=٢٠٢٥-12-01", "InvalidApiVersionParameter"),
        ):
            for method in ("GET", "PUT", "DELETE"):
                answer = thing.plane.send(method, thing.id + query, thing.body if method == "PUT" else None)
                assert (answer.status, answer.error["code"], answer.error["target"]) == (400, code, "api-version")
        assert thing.plane.state() == before
        for known in ("2022-02-01-preview", "2023-04-01", "2025-12-01", "2026-09-01", "2021-10-01-dataplanepreview"):
            assert thing.plane.send("GET", f"{thing.id}?api-version={known}").status == 404

    # ---- who may ---------------------------------------------------------------------------------------------------------

    def test_each_verb_asks_for_its_right(self, thing: Thing, path: str):
        thing.made()
        rights = thing.plane.authority.rights
        base = f"{ML}/{'registries/assets' if path.startswith('registries/') else path}"
        scope = thing.send("GET").json["id"] if thing.declared.id_of is None else thing.id
        for method, verb in (("GET", "read"), ("HEAD", "read"), ("PUT", "write"), ("PATCH", "write"), ("DELETE", "delete")):
            name = f"{base}/{verb}"
            assert name in OPERATIONS or name in NOT_PRINTED, name
            rights["nobody"] = [("*", "/elsewhere"), ("nothing", "/")]
            if method == "PATCH" and not thing.declared.patchable:
                continue
            before = thing.plane.state()
            refused = thing.send(method, thing.changed() if method in ("PUT", "PATCH") else None, token="nobody")
            assert refused.status == 403, method
            if method != "HEAD":
                assert refused.error["code"] == "AuthorizationFailed"
                assert all(word in refused.error["message"] for word in ("'nobody'", f"'{name}'", f"'{scope}'")), refused.error["message"]
            assert thing.plane.state() == before
            rights["one"] = [(name, thing.id)]
            answer = thing.send(method, thing.changed() if method in ("PUT", "PATCH") else None, token="one")
            assert answer.status < 300, (method, answer.body)
            thing.plane.settle()

    def test_a_list_needs_read(self, thing: Thing, path: str):
        thing.made()
        rights = thing.plane.authority.rights
        rights["nobody"] = [("nothing", "/")]
        answer = thing.plane.send("GET", versioned(thing.collection), token="nobody")
        if "/" in path:
            assert (answer.status, answer.error["code"]) == (403, "AuthorizationFailed")
            return
        other = thing.another()
        other.made()
        assert answer.json["value"] == []
        rights["one"] = [(f"{ML}/{path}/read", other.id)]
        assert [d["id"] for d in thing.plane.get(thing.collection, token="one")["value"]] == [other.id]
        everywhere = f"{thing.plane.subscription}/providers/{ML}/{path}"
        assert [d["id"] for d in thing.plane.get(everywhere, token="one")["value"]] == [other.id]

    def test_no_token_no_answer(self, thing: Thing, path: str):
        thing.made()
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "POST"):
            for token in ("", "unknown"):
                answer = thing.send(method, thing.body, token=token)
                assert answer.status == 401, (method, token)
                assert answer.headers["www-authenticate"].startswith("Bearer")
        assert thing.send("GET").status == 200

    # ---- bodies ----------------------------------------------------------------------------------------------------------

    def test_a_member_of_the_wrong_type_is_named(self, thing: Thing, path: str):
        before = thing.plane.state()
        wrong = {"str": ["a"], "int": "many", "bool": "perhaps", "dict": "text", "list": {"a": 1}}
        for info in msgspec.structs.fields(thing.declared.properties):
            kind = _plain(info.type)
            if kind is None:
                continue
            body = set_at(thing.body, ("properties", info.encode_name), wrong[kind])
            answer = thing.send("PUT", body)
            assert answer.status == 400, (info.encode_name, answer.body)
            assert answer.error["target"].startswith(f"properties.{info.encode_name}"), answer.error
        for member in ("tags", "identity", "sku", "kind", "location"):
            answer = thing.send("PUT", {**thing.body, member: 5})
            assert (answer.status, answer.error["target"]) == (400, member)
        answer = thing.send("PUT", {**thing.body, "tags": {"a": {"b": 1}}})
        assert (answer.status, answer.error["target"]) == (400, "tags")
        for required in (f.encode_name for f in msgspec.structs.fields(thing.declared.properties) if f.required):
            body = {**thing.body, "properties": {k: v for k, v in thing.body["properties"].items() if k != required}}
            answer = thing.send("PUT", body)
            assert answer.status == 400 and required in answer.error["message"]
        assert thing.plane.state() == before

    @pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b"5", b'"text"', b'{"properties": null}', b'{"properties": []}', b'{"properties": 5}'])
    def test_bodies_that_are_no_resource(self, thing: Thing, path: str, raw: bytes):
        answer = thing.send("PUT", raw)
        assert answer.status == 400 and answer.error["target"] in ("body", "properties")
        assert thing.send("GET").status == 404

    def test_unknown_members_are_kept(self, thing: Thing, path: str):
        """A newer client may know more than this server."""
        body = set_at(thing.body, ("properties", "brandNew"), {"a": [1, 2.5, "x", None, True]})
        doc = thing.plane.put(thing.id, body)
        assert doc["properties"]["brandNew"] == {"a": [1, 2.5, "x", None, True]}
        assert thing.send("GET").json["properties"]["brandNew"] == {"a": [1, 2.5, "x", None, True]}


def _plain(kind: Any) -> str | None:
    text = str(kind)
    for name in ("dict", "list", "bool", "int", "str"):
        if name in text.split("|")[0] or text == f"<class '{name}'>":
            return name
    return "dict" if "lazward" in text else None


@pytest.mark.parametrize(("key", "verb"), sorted(ACTIONS))
def test_each_action_asks_for_its_right(plane: Plane, key: str, verb: str):
    declared = REGISTRY[key]
    path = declared.path
    parent = parent_of(plane, path)
    thing = item_id(plane, path, parent)
    plane.put(thing, KINDS[path].body(parent))
    plane.settle()
    base = f"{ML}/{'registries/assets' if path.startswith('registries/') else path}"
    name = f"{base}/{ACTION_RIGHTS.get((key, verb), verb + '/action')}"
    plane.authority.rights["nobody"] = [("nothing", "/")]
    before = plane.state()
    refused = plane.send("POST", versioned(f"{thing}/{verb}"), {}, token="nobody")
    assert refused.status == 403 and f"'{name}'" in refused.error["message"]
    assert name.lower() in {op.lower() for op in OPERATIONS}
    assert plane.state() == before
    assert plane.send("GET", versioned(f"{thing}/{verb}")).status == 405
    missing = plane.send("POST", versioned(f"{thing}x/{verb}"), {})
    assert missing.status == 404 if verb != "startpendingupload" else missing.status == 200
