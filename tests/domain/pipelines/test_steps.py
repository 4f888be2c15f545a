from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain.pipelines.graph import build
from lazward.domain.pipelines.steps import camel, items_of, outputs_of, properties_of

SPEC = {
    "type": "command", "command": "run ${{inputs.x}}", "environment": "azureml:/subscriptions/s/e", "code": "azureml:/subscriptions/s/c", "environment_variables": {"A": "1", "B": "1"},
    "resources": {"instance_count": 1, "properties": {"some_key": 1}}, "distribution": {"type": "pytorch", "process_count_per_instance": 2}, "outputs": {"o": {"type": "mlflow_model", "mode": "rw_mount"}, "flag": {"type": "boolean"}},
}


def node(**raw):
    return build({"n": {"type": "command", "componentId": "c", **raw}})[0].nodes["n"]


class TestProperties:
    def test_the_node_overrides_its_component(self):
        facts = properties_of(
            node(environment_variables={"B": "2"}, resources={"instance_count": 3}, limits={"timeout": 100}, tags={"t": "1"}), SPEC, {}, {}, {"default_compute": "cpu"},
        )
        assert (facts["jobType"], facts["command"], facts["codeId"], facts["environmentId"]) == ("Command", SPEC["command"], "/subscriptions/s/c", "/subscriptions/s/e")
        assert facts["environmentVariables"] == {"A": "1", "B": "2"}
        assert facts["resources"] == {"instanceCount": 3, "properties": {"some_key": 1}}
        assert facts["distribution"] == {"processCountPerInstance": 2, "distributionType": "PyTorch"}
        assert facts["limits"]["timeout"] == "PT100S"
        assert facts["computeId"] == "cpu"

    def test_a_nested_pipeline_inherits_the_settings(self):
        inner = node(type="pipeline", settings={"force_rerun": True, "default_compute": None})
        facts = properties_of(inner, {"type": "pipeline", "jobs": {"a": {}}}, {}, {}, {"default_compute": "cpu", "_source": "x"})
        assert (facts["jobType"], facts["jobs"], facts["settings"]) == ("Pipeline", {"a": {}}, {"default_compute": "cpu", "force_rerun": True})


class TestOutputs:
    def test_types_modes_and_places(self):
        assert outputs_of(node(outputs={"o": {"mode": "upload", "job_output_type": "uri_folder"}}), SPEC, {}) == {"o": {"mode": "Upload", "jobOutputType": "uri_folder"}, "flag": {"jobOutputType": "uri_file"}}
        bound = outputs_of(node(outputs={"o": {"value": "${{parent.outputs.z}}", "type": "literal"}}), SPEC, {"o": {"uri": "azureml://x", "mode": None}})
        assert bound["o"] == {"jobOutputType": "mlflow_model", "mode": "ReadWriteMount", "uri": "azureml://x"}


@given(st.recursive(st.none() | st.integers(), lambda inner: st.dictionaries(st.from_regex(r"[a-z]{1,4}(_[a-z]{1,4}){0,3}", fullmatch=True), inner), max_leaves=20))
def test_camel_keeps_the_shape(value):
    def leaves(x):
        return [leaf for v in x.values() for leaf in leaves(v)] if isinstance(x, dict) else [x]

    assert leaves(camel(value)) == leaves(value) or isinstance(value, dict)  # keys may meet: a_b and aB
    assert camel(camel(value)) == camel(value)


class TestItems:
    def test_lists_objects_and_their_json(self):
        assert items_of('[{"a": 1}, {"a": 2}]', "j") == [("0", {"a": 1}), ("1", {"a": 2})]
        assert items_of({"x": {"a": 1}}, "j") == [("x", {"a": 1})]

    @pytest.mark.parametrize("value", ["[", "5", "[1]", [], None])
    def test_others_are_refused_with_their_place(self, value):
        with pytest.raises(ArmError) as caught:
            items_of(value, "jobs.loop")
        assert caught.value.target == "jobs.loop.items"
