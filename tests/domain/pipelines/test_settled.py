from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.pipelines.settled import bound, settled

RAW = {
    "inputs": {"x": "${{parent.inputs.n}}"}, "task": {"program_arguments": "${{inputs.n}}"}, "mini_batch_size": "${{parent.inputs.n}}", "logging_level": "${{ parent.inputs.level }}",
    "resources": {"instance_count": "${{parent.inputs.n}}", "shm_size": "2g"}, "limits": {"timeout": "${{parent.inputs.gone}}"}, "environment_variables": {"N": "${{parent.inputs.n}}"},
    "display_name": "step ${{parent.inputs.n}} at ${{parent.inputs.level}}", "distribution": None, "compute": "${{parent.inputs.where}}",
}


def test_members_get_their_values():
    assert settled(RAW, {"n": "5", "level": "DEBUG", "where": "7"}) == {
        "inputs": RAW["inputs"], "task": RAW["task"], "mini_batch_size": 5, "logging_level": "DEBUG", "resources": {"instance_count": 5, "shm_size": "2g"}, "limits": {},
        "environment_variables": {"N": "5"}, "display_name": "step 5 at DEBUG", "distribution": None, "compute": "7",
    }


def test_what_is_bound_is_found_with_its_place():
    assert set(bound(RAW)) == {
        ("mini_batch_size", "n"), ("logging_level", "level"), ("resources.instance_count", "n"), ("limits.timeout", "gone"), ("environment_variables.N", "n"),
        ("display_name", "n"), ("display_name", "level"), ("compute", "where"),
    }
    assert list(bound({"partition_keys": ["a", "${{parent.inputs.k}}"]})) == [("partition_keys[1]", "k")]


PLAIN = st.recursive(st.none() | st.integers() | st.booleans() | st.text().filter(lambda t: "${{" not in t), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@given(st.dictionaries(st.text(), PLAIN))
def test_what_is_not_bound_stays(raw):
    assert settled(raw, {"a": "1"}) == raw
    assert list(bound(raw)) == []
