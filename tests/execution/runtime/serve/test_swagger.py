from __future__ import annotations

import pytest

from lazward.execution.runtime.serve.swagger import VERSIONS, document


@pytest.mark.parametrize("version", VERSIONS)
def test_every_reference_leads_somewhere_and_the_schemas_are_the_models(version):
    made = document(version, {"type": "string"}, {"type": "integer"})
    found = []

    def walk(node):
        if isinstance(node, dict):
            found.extend(value for key, value in node.items() if key == "$ref")
            for value in node.values():
                walk(value)

    walk(made)
    assert found
    for reference in found:
        node = made
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    schemas = made.get("definitions") or made["components"]["schemas"]
    assert (schemas["ServiceInput"], schemas["ServiceOutput"]) == ({"type": "string"}, {"type": "integer"})
