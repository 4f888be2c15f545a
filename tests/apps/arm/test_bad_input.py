"""Bad input: an ARM error with code, message and, where a member is at fault, a target; no 500; nothing changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lazward.contract.ids import ML
from tests.control_plane import VERSION, Plane, make_plane, versioned
from tests.make import KINDS, item_id, parent_of

QUICK = settings(max_examples=100, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("bad")
    made = make_plane(f"sqlite:///{folder}/test.db", folder, max_body_bytes=1 << 20)
    for path, kind in KINDS.items():
        parent = parent_of(made, path)
        made.put(item_id(made, path, parent, "existing" if kind.name != "1" else "7"), kind.body(parent))
    made.settle()
    yield made
    made.close()


def harmless(plane: Plane, method: str, target: str, body: Any = None, **more: Any):
    """Sends it; fails on a 500, an error of another shape, or a change after a refusal."""
    before = plane.state()
    answer = plane.send(method, target, body, **more)
    assert answer.status != 500 and (answer.status < 500 or answer.status == 501), (method, target, body, answer.body)
    if answer.status >= 400:
        if method != "HEAD":
            assert answer.error["code"] not in ("InternalServerError", "Unknown")
        assert plane.state() == before, (method, target, body)
    return answer


TEXTS = st.text(max_size=12) | st.sampled_from([
    "", "..", "../../etc/passwd", "\u202egnp.exe", "\ufeff", "a" * 5000, "%2e%2e", "$(id)", "'; drop table resource; --", "{{7*7}}", "${{inputs.x}}", "${{}}", "$[[", "null", "true",
    "azureml:", "azureml://", "azureml:x:1", "azureml://registries/none/models/x/versions/1", "azureml://jobs/../outputs/x", "runs:/", "https://", "file:///etc/passwd", "PT", "P1Y", "1e999", "-1",
])
SCALARS = st.none() | st.booleans() | st.integers(-(2**66), 2**66) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8)


def places(value: Any, at: tuple = ()) -> Iterator[tuple]:
    """Every path inside a JSON value."""
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*at, name)
        yield from places(inner, (*at, name))


def with_value(body: Any, at: tuple, value: Any) -> Any:
    body = copy.deepcopy(body)
    inner = body
    for name in at[:-1]:
        inner = inner[name]
    inner[at[-1]] = value
    return body


def rich(path: str, parent: str) -> dict[str, Any]:
    """A valid body with every member that code looks into."""
    body = KINDS[path].body(parent)
    more: dict[str, dict[str, Any]] = {
        "workspaces/jobs": {
            "inputs": {"a": {"jobInputType": "literal", "value": "1"}, "b": {"jobInputType": "uri_folder", "uri": "azureml://datastores/workspaceblobstore/paths/x", "mode": "Download"}},
            "outputs": {"o": {"jobOutputType": "uri_folder", "mode": "Upload", "assetName": "n", "assetVersion": "1", "uri": "azureml://datastores/workspaceblobstore/paths/x"}},
            "environmentVariables": {"A": "b"}, "distribution": {"distributionType": "PyTorch", "processCountPerInstance": 2}, "limits": {"timeout": "PT5M", "jobLimitsType": "Command"},
            "resources": {"instanceCount": 1, "properties": {"cores": 1, "memory": "1Gi", "gpus": 0}, "dockerArgs": "--memory 1g"}, "services": {"s": {"jobServiceType": "jupyter_lab"}},
            "computeId": "local", "experimentName": "e", "displayName": "d", "queueSettings": {"jobTier": "x"}, "codeId": None, "identity": {"identityType": "AMLToken"},
        },
        "workspaces/onlineEndpoints": {"traffic": {"a": 0}, "mirrorTraffic": {"a": 0}, "keys": {"primaryKey": "k" * 20, "secondaryKey": None}, "properties": {"a": "b"}, "compute": "x"},
        "workspaces/onlineEndpoints/deployments": {
            "livenessProbe": {"timeout": "PT2S", "period": "PT1S", "failureThreshold": 3}, "readinessProbe": {"initialDelay": "PT1S"}, "environmentVariables": {"A": "b"},
            "requestSettings": {"requestTimeout": "PT3S", "maxConcurrentRequestsPerInstance": 2, "maxQueueWait": "PT1S"}, "scaleSettings": {"scaleType": "Default"}, "model": None,
        },
        "workspaces/computes": {"properties": {
            "vmSize": "x", "scaleSettings": {"maxNodeCount": 2, "minNodeCount": 0, "nodeIdleTimeBeforeScaleDown": "PT2M"}, "userAccountCredentials": {"adminUserName": "a", "adminUserPassword": "b"},
            "schedules": {"computeStartStop": [{"action": "Start"}]}, "sshSettings": {"sshPublicAccess": "Disabled"},
        }},
        "workspaces/datastores": {"credentials": {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": "abc"}}, "tags": {"a": "b"}, "properties": {"a": "b"}},
        "workspaces/connections": {"credentials": {"keys": {"a": "b"}}, "metadata": {"a": "b"}, "isSharedToAll": True},
        "workspaces/components/versions": {"componentSpec": {"type": "command", "command": "x", "inputs": {"a": {"type": "string"}}, "environment": "azureml:x:1", "code": "y"}},
        "workspaces/environments/versions": {"image": "x", "condaFile": "a: b\n", "inferenceConfig": {"livenessRoute": {"path": "/", "port": 1}}, "build": None},
        "workspaces/codes/versions": {"properties": {"hash_sha256": "x", "hash_version": "202208"}}, "workspaces/models/versions": {"flavors": {"python_function": {"data": {}}}, "stage": "x", "jobName": "j"},
    }
    facts = next((facts for key, facts in more.items() if key.split("/", 1)[1] == path.split("/", 1)[-1] and (path.startswith("workspaces") or "versions" in path)), {})
    body["properties"] = {**body["properties"], **facts}
    return {"sku": {"name": "Default", "capacity": 1}, "identity": {"type": "SystemAssigned"}, "kind": None, **body}


@pytest.mark.parametrize("path", sorted(KINDS))
class TestBodies:
    def test_any_value_in_any_place(self, own: Plane, path: str):
        """A valid body with one member replaced: created, or refused naming what is wrong, on a new and on an existing resource; and what
        was stored can be read, listed, patched and deleted."""
        parent = parent_of(own, path)
        good = rich(path, parent)
        spots = [p for p in places(good) if p != ("properties",)]
        spots += [("properties", f.encode_name) for f in msgspec.structs.fields(KINDS[path].declared.properties)]

        @settings(QUICK, max_examples=40)
        @given(st.sampled_from(spots), VALUES)
        def one(spot: tuple, value: Any) -> None:
            name = own.name("F") if KINDS[path].name != "1" else own.name("")
            target = item_id(own, path, parent, name)
            answer = harmless(own, "PUT", versioned(target), with_value(good, spot, value))
            if answer.status == 400:
                assert answer.error.get("target"), answer.body
            if answer.status < 300:
                own.settle()
                assert own.send("GET", versioned(target)).status == 200
                harmless(own, "PUT", versioned(target), good)
                own.settle()
                harmless(own, "PATCH", versioned(target), {"properties": {spot[-1]: value} if isinstance(spot[-1], str) else {}})
                own.settle()
                assert own.send("DELETE", versioned(target)).status < 300
                own.settle()

        one()

    @pytest.mark.parametrize("raw", [
        b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"properties": {"description": "\\ud800"}}', b'{"properties": {"description": "\\u0000"}}', b'{"properties": {"a\\u0000b": 1}}',
        b'{"properties": ' * 5000, b'{"properties": {"a": ' + b"[" * 150 + b"]" * 150 + b"}}", b'{"properties": {"n": 1e999}}', b'{"properties": {"n": ' + b"9" * 5000 + b"}}", b'{"properties": NaN}',
        b'{"properties": {}, "properties": 5}', b"PK\x03\x04", b"<xml/>", b"a=b&c=d",
    ])
    def test_malformed_bodies(self, own: Plane, path: str, raw: bytes):
        target = item_id(own, path, parent_of(own, path))
        for method in ("PUT", "PATCH"):
            answer = harmless(own, method, versioned(target), raw)
            assert answer.status == (405 if method == "PATCH" and not KINDS[path].declared.patchable else 404 if method == "PATCH" and answer.status == 404 else 400)
        assert own.send("GET", versioned(target)).status == 404

    def test_a_body_beyond_the_limit(self, own: Plane, path: str):
        target = item_id(own, path, parent_of(own, path))
        raw = json.dumps({"properties": {"description": "x" * (1 << 20)}}).encode()
        for headers in ({}, {"content-length": None}, {"content-length": "5"}):  # said, not said, said wrong
            answer = harmless(own, "PUT", versioned(target), raw, headers=headers)
            assert (answer.status, answer.error["code"], answer.error["target"]) == (413, "RequestContentTooLarge", "body")

    def test_the_last_of_two_members_counts(self, own: Plane, path: str):
        parent = parent_of(own, path)
        target = item_id(own, path, parent)
        text = json.dumps(KINDS[path].body(parent))
        doc = own.ok("PUT", target, ('{"properties": 5, ' + text[1:]).encode()).json
        assert isinstance(doc["properties"], dict)


class TestAddresses:
    @settings(QUICK, max_examples=200)
    @given(st.lists(st.sampled_from(["subscriptions", "resourceGroups", "providers", ML, "workspaces", "jobs", "models", "versions", "1", "..", "%2e%2e", "%00", "%ff", "", "~", "W", "listKeys"]) |
                    st.text(max_size=5).map(lambda s: "".join(f"%{b:02x}" for b in s.encode("utf-8", "replace"))), max_size=14), st.sampled_from(["GET", "PUT", "PATCH", "POST", "DELETE", "HEAD"]))
    def test_any_path(self, own: Plane, pieces: list[str], method: str):
        answer = harmless(own, method, f"/subscriptions/{'/'.join(pieces)}?{VERSION}", {} if method in ("PUT", "PATCH", "POST") else None)
        if method == "HEAD" and answer.status >= 400:
            assert answer.status in (400, 403, 404, 405, 501)

    @settings(QUICK, max_examples=150)
    @given(st.sampled_from([p for p in sorted(KINDS)]), st.sampled_from(
        ["$top", "$skip", "$skipToken", "$orderBy", "orderBy", "listViewType", "tags", "tag", "properties", "hash", "jobType", "status", "names", "count", "isDefault", "scheduled", "version", "$filter", "kind"]), TEXTS)
    def test_any_query(self, own: Plane, path: str, name: str, value: str):
        from urllib.parse import urlencode

        collection = item_id(own, path, parent_of(own, path) if path.count("/") < 2 else own.shared(path.split("/")[0]) + "/x/y").rsplit("/", 1)[0]
        answer = harmless(own, "GET", f"{collection}?{VERSION}&{urlencode({name: value}, errors='replace')}")
        assert answer.status in (200, 400, 404, 501)

    @pytest.mark.parametrize("header", ["if-match", "if-none-match", "x-ms-correlation-request-id", "x-ms-client-request-id", "content-type", "accept-language", "range"])
    @pytest.mark.parametrize("value", ["", "*", "é" * 10, "x" * 5000, '"', "W/", ",,,", "\x01\x02", "a\tb"])
    def test_any_header(self, own: Plane, header: str, value: str):
        target = versioned(item_id(own, "workspaces/computes", own.shared("workspaces"), "existing"))
        answer = harmless(own, "GET", target, headers={header: value})
        assert answer.status in (200, 304)
        assert all(c.isprintable() for name in ("x-ms-correlation-request-id", "x-ms-request-id") for c in answer.headers[name])
        assert len(answer.headers["x-ms-correlation-request-id"]) <= 256


class TestActions:
    @settings(QUICK, max_examples=200)
    @given(st.sampled_from([
        ("workspaces/onlineEndpoints", "regenerateKeys", "keyType"), ("workspaces/onlineEndpoints", "regenerateKeys", "keyValue"), ("workspaces/onlineEndpoints/deployments", "getLogs", "tail"),
        ("workspaces/onlineEndpoints/deployments", "getLogs", "containerType"), ("workspaces/computes", "start", "x"), ("workspaces/datastores", "listSecrets", "expirableSecret"),
        ("workspaces/jobs", "cancel", "x"), ("workspaces", "diagnose", "value"), ("workspaces/models/versions", "startPendingUpload", "pendingUploadType"), ("workspaces/computes", "listNodes", "x"),
    ]), VALUES, st.booleans())
    def test_any_body(self, own: Plane, action: tuple[str, str, str], value: Any, whole: bool):
        path, verb, member = action
        parent = own.shared("workspaces") if path.count("/") < 2 else f"{own.shared('workspaces')}/onlineEndpoints/Fixed" if "deployments" in path else f"{own.shared('workspaces')}/models/m"
        if path == "workspaces":
            target = own.shared("workspaces")
        else:
            target = item_id(own, path, parent, "existing" if "versions" not in path else "7")
        if "deployments" in path and own.send("GET", versioned(target)).status == 404:
            own.put(parent, {"properties": {"authMode": "Key"}})
            own.settle()
            own.put(target, KINDS[path].body(parent))
            own.settle()
        good = {"keyType": "Primary"} if member == "keyValue" else {}
        answer = harmless(own, "POST", versioned(f"{target}/{verb}"), value if whole else {**good, member: value})
        own.settle()
        assert answer.status in (200, 202, 400, 404, 409)


class TestGroupsAndTemplates:
    @QUICK
    @given(st.sampled_from(["location", "tags", "properties", "managedBy"]), VALUES, st.sampled_from(["PUT", "PATCH"]))
    def test_groups(self, own: Plane, member: str, value: Any, method: str):
        target = f"{own.subscription}/resourceGroups/fuzzed"
        harmless(own, method, versioned(target), {"location": "local", member: value})
        answer = own.send("GET", versioned(target))
        assert answer.status in (200, 404)
        assert own.get(f"{own.subscription}/resourceGroups")["value"]

    @QUICK
    @given(st.sampled_from([
        ("properties",), ("properties", "template"), ("properties", "parameters"), ("properties", "mode"), ("properties", "parameters", "workspaceName"), ("properties", "parameters", "workspaceName", "value"),
        ("properties", "parameters", "location", "value"), ("properties", "parameters", "tagValues", "value"), ("properties", "parameters", "kind", "value"), ("properties", "parameters", "description", "value"),
    ]), VALUES)
    def test_templates(self, own: Plane, spot: tuple, value: Any):
        good = {"properties": {"mode": "Incremental", "template": {"resources": []}, "parameters": {
            "workspaceName": {"value": "templated"}, "location": {"value": "local"}, "tagValues": {"value": {}}, "kind": {"value": "default"}, "description": {"value": "x"},
        }}}
        group = own.shared("workspaces").split("/providers/")[0]
        harmless(own, "PUT", versioned(f"{group}/providers/Microsoft.Resources/deployments/d"), with_value(good, spot, value))

    @pytest.mark.parametrize("path", ["/tenants", "/subscriptions", "{s}", "{s}/locations", "{s}/resourceGroups", "{g}", "{g}/resources", "{s}/providers", "{s}/providers/" + ML,
                                      "{g}/providers/Microsoft.Resources/deployments/none", "{s}/providers/" + ML + "/locations/local/vmSizes"])
    def test_every_call_names_its_api_version(self, own: Plane, path: str):
        target = path.format(s=own.subscription, g=own.shared("workspaces").split("/providers/")[0])
        for query in ("", "?api-version=1"):
            answer = harmless(own, "GET", target + query)
            assert (answer.status, answer.error["target"]) == (400, "api-version"), target
        assert own.send("GET", target, token="").status == 401
        assert own.send("GET", versioned(target)).status in (200, 404)
