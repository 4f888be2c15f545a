"""The machine over random graphs and random orders of events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.pipelines.graph import build
from lazward.domain.pipelines.machine import OVER, Progress, restore


@st.composite
def graphs(draw):
    """Nodes n0..nk; each reads outputs of some before it; now and then an if_else over two of them."""
    count = draw(st.integers(1, 14))
    jobs = {}
    for i in range(count):
        reads = draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else set()
        jobs[f"n{i}"] = {"type": "command", "inputs": {f"i{r}": {"value": f"${{{{parent.jobs.n{r}.outputs.o}}}}", "job_input_type": "literal"} for r in reads}}
    if count >= 3 and draw(st.booleans()):
        first = draw(st.integers(0, count - 3))
        yes = draw(st.integers(first + 1, count - 2))
        no = draw(st.integers(yes + 1, count - 1))
        jobs["c"] = {"type": "if_else", "condition": f"${{{{parent.jobs.n{first}.outputs.o}}}}", "true_block": f"${{{{parent.jobs.n{yes}}}}}", "false_block": f"${{{{parent.jobs.n{no}}}}}"}
    return jobs


def graph_of(jobs):
    graph, problems = build(jobs)
    assert problems == []
    return graph


class TestProgress:
    @given(graphs(), st.data(), st.booleans())
    def test_any_order_of_events_comes_to_an_end(self, jobs, data, keep_going):
        graph = graph_of(jobs)
        progress = Progress(graph, keep_going=keep_going)
        running: set[str] = set()
        ends: dict[str, str] = {}
        started: list[str] = []
        while not progress.over:
            for name in progress.startable(data.draw(st.integers(1, 4))):
                assert name not in started  # nothing runs twice
                assert all(ends.get(need) == "completed" for need in graph.nodes[name].needs)  # nor before what it needs has ended well
                started.append(name)
                progress.began(name)
                running.add(name)
            assert progress.running() == running
            if not running:
                assert progress.over
                break
            name = data.draw(st.sampled_from(sorted(running)))
            running.discard(name)
            if graph.nodes[name].kind == "if_else":
                ends[name] = "completed"
                progress.chose(name, data.draw(st.booleans()))
            else:
                ends[name] = "canceled" if progress.stopping else data.draw(st.sampled_from(["completed", "completed", "completed", "failed"]))
                progress.ended(name, ends[name])
        assert set(progress.state.values()) <= OVER
        assert sum(progress.counts.values()) == len(progress.state)
        assert all(progress.state[name] == "skipped" for name in progress.state if name not in ends)
        assert all(name in progress.reasons for name, state in progress.state.items() if state == "skipped")
        assert progress.result() == ("failed" if {"failed", "canceled"} & set(ends.values()) else "completed")
        if keep_going:  # what depends on no failed step has run
            for name in progress.state:
                if all(ends.get(need) == "completed" for need in graph.nodes[name].needs) and not graph.nodes[name].gate:
                    assert name in ends

    @given(graphs(), st.data())
    def test_a_cancel_at_any_moment(self, jobs, data):
        progress = Progress(graph_of(jobs))
        for _ in range(data.draw(st.integers(0, 6))):
            for name in progress.startable(2):
                progress.began(name)
                if data.draw(st.booleans()) and progress.graph.nodes[name].kind != "if_else":
                    progress.ended(name, "completed")
        progress.stop("canceled")
        assert progress.startable(100) == []
        for name in progress.running():
            progress.ended(name, data.draw(st.sampled_from(["completed", "canceled", "failed"])))
        assert progress.over
        assert progress.result() == "canceled"

    @given(graphs(), st.data())
    def test_what_was_known_before_a_crash_gives_the_same_state_in_any_order(self, jobs, data):
        graph = graph_of({name: node for name, node in jobs.items() if name != "c"})
        first = Progress(graph, keep_going=True)
        known: dict[str, str] = {}
        for _ in range(data.draw(st.integers(0, 8))):
            for name in first.startable(3):
                first.began(name)
                known[name] = "running"
                end = data.draw(st.sampled_from(["running", "completed", "failed"]))
                if end != "running":
                    known[name] = end
                    first.ended(name, end)
        again = Progress(graph, keep_going=True)
        restore(again, data.draw(st.permutations(sorted(known.items()))))
        same = {name: "open" if state in ("waiting", "ready") else state for name, state in first.state.items()}
        assert {name: "open" if state in ("waiting", "ready") else state for name, state in again.state.items()} == same
        assert set(again.startable(100)) == set(first.startable(100))

    def test_ten_thousand_nodes(self):
        jobs = {f"n{i}": {"type": "command", "inputs": {"i": f"${{{{parent.jobs.n{i - 1}.outputs.o}}}}"} if i % 100 else {}} for i in range(10_000)}
        progress = Progress(graph_of(jobs))
        done = 0
        while not progress.over:
            for name in progress.startable(64):
                progress.began(name)
                progress.ended(name, "completed")
                done += 1
        assert done == 10_000
        assert progress.counts == {"completed": 10_000}

    def test_an_optional_input_from_a_branch_that_was_not_taken(self):
        graph = graph_of({
            "a": {}, "b": {}, "c": {"type": "if_else", "condition": "true", "true_block": "${{parent.jobs.a}}", "false_block": "${{parent.jobs.b}}"},
            "after": {"inputs": {"x": "${{parent.jobs.b.outputs.o}}"}}, "needy": {"inputs": {"x": "${{parent.jobs.b.outputs.o}}"}},
        })
        graph.nodes["after"].optional_needs.add("b")
        progress = Progress(graph)
        progress.began("c")
        progress.chose("c", True)
        assert progress.state["b"] == progress.state["needy"] == "skipped"
        assert set(progress.startable(9)) == {"a", "after"}
        assert progress.reasons["needy"] == "'b' was not run"
