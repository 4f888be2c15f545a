from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.pipelines.graph import build

NODE = "${{parent.jobs.%s}}"
OUT = "${{parent.jobs.%s.outputs.%s}}"


def faults(jobs):
    return {(p.target, p.status) for p in build(jobs)[1]}


class TestBuild:
    def test_an_edge_for_every_reference(self):
        graph, problems = build({
            "a": {"type": "command"}, "b": {"inputs": {"x": {"value": OUT % ("a", "o"), "job_input_type": "literal"}}},
            "c": {"type": "sweep", "inputs": {"t": f"both {OUT % ('a', 'o')} and {OUT % ('b', 'o')}", "u": {"uri": "azureml:d:1", "job_input_type": "uri_file"}, "p": "${{parent.inputs.p}}"}},
        })
        assert problems == []
        assert [graph.nodes[n].needs for n in "abc"] == [set(), {"a"}, {"a", "b"}]

    @pytest.mark.parametrize("jobs", [None, {}, [], "x", 5])
    def test_nothing(self, jobs):
        assert faults(jobs) == {("properties.jobs", 400)}

    def test_every_fault_at_once_with_its_place(self):
        assert faults({
            "a": 5, "b": {"type": "teapot"}, "c": {"inputs": {"x": OUT % ("nobody", "o"), "y": "${{inputs.z}}", "z": OUT % ("c", "o")}},
            "d": {"type": "if_else"}, "e": {"type": "do_while", "body": NODE % "c", "limits": {"max_iteration_count": 0}}, "f": {"type": "parallel_for", "body": "c", "items": "[]", "max_concurrency": 0},
        }) == {
            ("properties.jobs.a", 400), ("properties.jobs.b.type", 501), ("properties.jobs.c.inputs.x", 400), ("properties.jobs.c.inputs.y", 400), ("properties.jobs.c.inputs.z", 400),
            ("properties.jobs.d.condition", 400), ("properties.jobs.d", 400), ("properties.jobs.e.limits.max_iteration_count", 400),
            ("properties.jobs.f.body", 400), ("properties.jobs.f.items", 400), ("properties.jobs.f.max_concurrency", 400),
            ("properties.jobs.e.body.inputs.x", 400), ("properties.jobs.e.body.inputs.y", 400),
        }

    @given(st.integers(2, 300))
    def test_a_circle_is_told_by_name(self, length):
        jobs = {f"n{i}": {"inputs": {"x": OUT % (f"n{(i + 1) % length}", "o")}} for i in range(length)}
        (problem,) = build(jobs)[1]
        assert "circle" in problem.message
        assert problem.message.count("->") == length

    def test_very_deep(self):
        jobs = {f"n{i}": {"inputs": {"x": OUT % (f"n{i - 1}", "o")} if i else {}} for i in range(5000)}
        graph, problems = build(jobs)
        assert problems == []
        assert graph.nodes["n4999"].needs == {"n4998"}

    def test_who_reads_the_body_of_a_loop_waits_for_the_loop(self):
        graph, problems = build({
            "before": {}, "body": {"inputs": {"x": OUT % ("before", "o")}}, "loop": {"type": "do_while", "body": NODE % "body", "condition": "go", "limits": {"max_iteration_count": 3}, "mapping": {"n": ["x"]}},
            "after": {"inputs": {"x": OUT % ("body", "o")}},
        })
        assert problems == []
        assert graph.nodes["loop"].needs == {"before"}
        assert graph.nodes["after"].needs == {"loop"}
        assert [n.name for n in graph.runnable()] == ["before", "loop", "after"]

    def test_the_blocks_of_a_condition_wait_for_it(self):
        graph, problems = build({"s": {}, "t": {}, "f": {}, "c": {"type": "if_else", "condition": OUT % ("s", "flag"), "true_block": [NODE % "t"], "false_block": NODE % "f"}})
        assert problems == []
        assert (graph.nodes["c"].needs, graph.nodes["t"].needs, graph.nodes["f"].needs) == ({"s"}, {"c"}, {"c"})
        assert (graph.nodes["t"].when, graph.nodes["f"].when) == (True, False)
