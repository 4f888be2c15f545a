"""The OpenAPI document says what the server does: it is complete, and what schemathesis makes of it is answered as it says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from lazward.apps.arm import coverage
from lazward.apps.arm.hooks import ACTIONS
from lazward.apps.arm.targets import Target, methods_of
from lazward.contract.ids import ResourceId
from lazward.domain.resource import REGISTRY
from tests.control_plane import Plane, make_plane


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory):
    """A plane of its own: its state is compared often, so it should be small."""
    folder: Path = tmp_path_factory.mktemp("openapi")
    made = make_plane(f"sqlite:///{folder}/test.db", folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def document(own: Plane) -> dict[str, Any]:
    answer = own.send("GET", "/openapi.json", token="")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    return answer.json


class TestDocument:
    def test_every_type_verb_and_action_is_there(self, document: dict[str, Any]):
        wanted = 0
        for kind in REGISTRY.values():
            rid = ResourceId("s", "g", kind.provider, tuple((piece, "x") for piece in kind.path.split("/")))
            wanted += len(methods_of(Target(kind, rid))) - 1 + 1 + ("/" not in kind.path)  # HEAD is not written down; the list; the list of a subscription
        operations = [op for path in document["paths"].values() for verb, op in path.items() if verb != "parameters"]
        assert len(operations) == wanted + len(ACTIONS)
        assert len({op["operationId"] for op in operations}) == len(operations)

    def test_it_is_openapi(self, document: dict[str, Any]):
        assert document["openapi"].startswith("3.1")
        text = json.dumps(document)
        for ref in {part.split('"')[0] for part in text.split('"$ref": "')[1:]}:
            at: Any = document
            for piece in ref.removeprefix("#/").split("/"):
                at = at[piece]
        for schema in document["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)
        for path, item in document["paths"].items():
            named = {piece.split("}")[0] for piece in path.split("{")[1:]}
            assert named == {p["name"] for p in item["parameters"] if p.get("in") == "path"}

    def test_success_codes_are_those_that_clients_take(self, document: dict[str, Any]):
        """Compared with the table of Azure's operations, whatever their path parameters are called."""

        def plain(path: str) -> str:
            return "/".join("{}" if piece.startswith("{") else piece for piece in path.split("/"))

        prefix = "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices"
        ours = {(plain(path), verb.upper()): op["responses"] for path, item in document["paths"].items() for verb, op in item.items() if verb != "parameters"}
        compared = 0
        for op in coverage.operations():
            answers = ours.get((plain(op.path).replace("RG", prefix, 1), op.verb))
            if answers and op.path.startswith("RG/") and op.verb in ("PUT", "PATCH", "DELETE"):
                assert {c for c in answers if c < "300"} <= set(op.codes.split(",")), op
                compared += 1
        assert compared > 60

    def test_a_list_says_how_it_is_filtered(self, document: dict[str, Any]):
        jobs = next(item for path, item in document["paths"].items() if path.endswith("/jobs"))
        assert {"$top", "listViewType", "jobType", "tags"} <= {p["name"] for p in jobs["get"]["parameters"]}


def test_schemathesis(own: Plane, document: dict[str, Any]):
    """Every operation, with requests made from its schema: no 500, an answer as the document says, and a refused write changes nothing."""
    home = own.workspace()
    registry = own.registry(home.split("/providers/")[0])
    own.put(f"{home}/onlineEndpoints/endpoint", {"properties": {"authMode": "Key"}})
    own.settle()
    real = {
        "subscriptionId": home.split("/")[2], "resourceGroupName": home.split("/")[4], "workspaceName": home.split("/")[8], "registryName": registry.split("/")[8],
        "onlineEndpointName": "endpoint",
    }
    seen: Counter[tuple[str, int]] = Counter()
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        explore(own, document, result.ok(), real, seen)
    assert seen[("PUT", 201)] > 10 and seen[("PUT", 400)] > 10 and seen[("GET", 200)] > 5, seen


def explore(own: Plane, document: dict[str, Any], operation: Any, real: dict[str, str], seen: Counter[tuple[str, int]]) -> None:
    last = operation.path.rsplit("{", 1)[1].split("}")[0]
    documented = document["paths"][operation.path][operation.method]["responses"]

    @settings(max_examples=3 if operation.method in ("put", "patch") else 1, database=None, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy())
    def one(case: Any) -> None:
        case.path_parameters |= {name: value for name, value in real.items() if name in case.path_parameters and name != last}
        body = None if type(case.body).__name__ == "NotSet" else json.dumps(case.body).encode()
        before = own.state()
        answer = own.send(case.method, f"{case.formatted_path}?{urlencode(case.query or {}, doseq=True)}", body)
        seen[(case.method, answer.status)] += 1
        assert str(answer.status) in documented, (case.method, case.formatted_path, answer.status, answer.body[:500])
        if answer.status >= 400:
            assert answer.error["code"] != "InternalServerError"
            assert own.state() == before
        elif answer.status in (200, 201) and "content" in documented[str(answer.status)]:
            jsonschema.validate(answer.json, {**documented[str(answer.status)]["content"]["application/json"]["schema"], "components": document["components"]})
        own.settle()

    one()
