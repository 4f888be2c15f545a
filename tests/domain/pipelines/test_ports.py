from __future__ import annotations

import pytest

from lazward.domain.pipelines.ports import Port, problem, read, truth


class TestRead:
    def test_types_limits_and_flags(self):
        ports = read({"a": {"type": "integer", "min": "1", "max": "3", "default": "2"}, "b": {"type": "uri_folder", "optional": True, "mode": "direct"}, "c": {"type": "string", "enum": ["p", "q"], "optional": "true"}, "d": {}})
        assert (ports["a"].type, ports["a"].default, ports["a"].minimum, ports["a"].maximum) == ("integer", "2", "1", "3")
        assert (ports["b"].optional, ports["b"].mode, ports["b"].primitive) == (True, "direct", False)
        assert (ports["c"].enum, ports["c"].optional) == (("p", "q"), True)
        assert ports["d"].type == "uri_folder"

    def test_groups_are_spread(self):
        ports = read({"g": {"type": "group", "values": {"x": {"type": "number"}, "h": {"type": "group", "values": {"y": {"type": "string"}}}}}})
        assert {name: port.type for name, port in ports.items()} == {"g.x": "number", "g.h.y": "string"}
        assert ports["g.h.y"].name == "g.h.y"


class TestProblem:
    @pytest.mark.parametrize(("port", "value", "said"), [
        (Port("x", "integer"), "5", ""), (Port("x", "integer"), "5.5", "whole number"), (Port("x", "integer"), "many", "whole number"), (Port("x", "number"), "1e-3", ""), (Port("x", "number"), "nan", "a number"),
        (Port("x", "boolean"), "True", ""), (Port("x", "boolean"), "maybe", "true or false"), (Port("x", "integer", minimum="1"), "0", "at least 1"), (Port("x", "number", maximum=1), "1.5", "at most 1"),
        (Port("x", "string", enum=("p", "q")), "r", "one of p, q"), (Port("x", "string", enum=("p", "q")), "q", ""), (Port("x", "uri_file"), "text", "data of type uri_file"), (Port("x", "string"), "", ""),
    ])
    def test_literals(self, port, value, said):
        found = problem(port, value)
        assert (said in found) if said else found == ""


@pytest.mark.parametrize(("value", "truth_of"), [("True", True), ("1", True), (False, False), ("false\n", False), ("2", None), ("", None), (None, None)])
def test_truth(value, truth_of):
    assert truth(value) is truth_of
