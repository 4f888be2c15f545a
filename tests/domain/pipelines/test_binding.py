from __future__ import annotations

import pytest

from lazward.domain.pipelines.binding import BadBinding, Binding, fill, whole, within


class TestWhole:
    @pytest.mark.parametrize(("text", "binding"), [
        ("${{parent.inputs.x}}", Binding("input", "x")), ("${{ parent.inputs.group.x }}", Binding("input", "group.x")), ("${{parent.inputs.x.path}}", Binding("input", "x.path")),
        ("${{parent.jobs.a.outputs.y}}", Binding("node_output", "a", "y")), ("${{parent.outputs.z}}", Binding("output", "z")), ("${{parent.jobs.a}}", Binding("node", "a")),
        ("plain", None), (5, None), (None, None), ("a ${{parent.inputs.x}}", None),
    ])
    def test_forms(self, text, binding):
        assert whole(text) == binding

    @pytest.mark.parametrize("text", ["${{inputs.x}}", "${{parent.jobs.a.inputs.y}}", "${{}}", "${{parent.inputs.}}", "${{parent.inputs.x;rm}}"])
    def test_others_are_refused(self, text):
        with pytest.raises(BadBinding):
            whole(text)


def test_bindings_within_a_text_are_filled_in():
    text = "from ${{parent.inputs.x}} to ${{parent.jobs.a.outputs.y}}"
    first, second = within(text)
    assert fill(text, {first: "1", second: "2"}) == "from 1 to 2"
