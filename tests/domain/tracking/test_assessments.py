from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.assessments import changed, check_assessment, check_change, shown

FEEDBACK = {"assessment_name": "a", "feedback": {"value": 1}}


@pytest.mark.parametrize("raw", [
    {"feedback": {"value": {"a": [1, None]}, "error": {"error_code": "X", "error_message": "m", "stack_trace": "s"}}}, {"feedback": {"value": None}}, {"expectation": {"value": "x"}},
    {"expectation": {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": '["x", 1]'}}}, {"issue": {"issue_name": "slow"}},
])
def test_what_is_written_is_read(raw):
    more = {
        "assessment_id": "a-1", "assessment_name": "n", "source": {"source_type": "LLM_JUDGE", "source_id": "gpt"}, "create_time": "1970-01-01T00:00:01.000Z",
        "last_update_time": "1970-01-01T00:00:02.000Z", "span_id": "s", "rationale": "r", "overrides": "a-0", "metadata": {"k": "v"}, "valid": True,
    }
    assert shown(check_assessment({**raw, **more}, "assessment", 0), "tr-1") == {**raw, **more, "trace_id": "tr-1"}


@pytest.mark.parametrize(("value", "number", "numeric"), [
    (1, 1.0, True), (0.5, 0.5, True), (True, 1.0, False), (False, 0.0, False), ("yes", 1.0, False), (" No ", 0.0, False), ("maybe", None, False), (None, None, False), ([1], None, False), (10**400, None, False),
])
def test_numbers(value, number, numeric):
    a = check_assessment({"assessment_name": "a", "feedback": {"value": value}}, "a", 0)
    assert (a.number, a.numeric) == (number, numeric)


@pytest.mark.parametrize(("raw", "told"), [
    (None, "'assessment'"), ({"assessment_name": "a"}, "either feedback"), ({**FEEDBACK, "expectation": {"value": 1}}, "either feedback"), ({"feedback": {"value": 1}}, "assessment_name"),
    ({"assessment_name": "n" * 251, "feedback": {}}, "assessment_name"), ({**FEEDBACK, "feedback": 5}, "assessment.feedback"), ({**FEEDBACK, "feedback": {"error": 5}}, "feedback.error"),
    ({**FEEDBACK, "source": "me"}, "assessment.source"), ({**FEEDBACK, "source": {"source_type": "CAT"}}, "source type"), ({**FEEDBACK, "source": {"source_type": [1]}}, "source type"), ({**FEEDBACK, "assessment_id": "a/b"}, "assessment_id"),
    ({**FEEDBACK, "metadata": 5}, "metadata"), ({**FEEDBACK, "create_time": "x"}, "create_time"), ({"assessment_name": "a", "expectation": {"serialized_value": {"serialization_format": "XML"}}}, "JSON_FORMAT"),
    ({"assessment_name": "a", "expectation": {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": "{"}}}, "must be JSON"),
])
def test_errors_name_the_field(raw, told):
    with pytest.raises(MlflowError) as error:
        check_assessment(raw, "assessment", 0)
    assert error.value.code == "INVALID_PARAMETER_VALUE" and told in error.value.message


def test_changes():
    old = check_assessment({**FEEDBACK, "rationale": "r", "metadata": {"a": "1"}}, "a", 0)
    new = changed(old, check_change({"assessment_name": "b", "feedback": {"value": 2}, "metadata": {"c": "2"}, "rationale": "not named"}, "assessmentName,feedback,metadata,nothing"), 5)
    assert (new.name, new.value, new.metadata, new.rationale, new.updated, new.created) == ("b", 2, {"a": "1", "c": "2"}, "r", 5, 0)
    assert changed(old, check_change({"valid": False, "rationale": "x"}, {"paths": ["valid", "rationale"]}), 5).valid is False
    with pytest.raises(MlflowError, match="Cannot update expectation value on a Feedback"):
        changed(old, check_change({"expectation": {"value": 1}}, "expectation"), 5)
    for mask in (None, 5, {"paths": 5}, {"paths": [5]}):
        with pytest.raises(MlflowError, match="update_mask"):
            check_change(FEEDBACK, mask)
    with pytest.raises(MlflowError, match="Cannot specify both"):
        check_change({**FEEDBACK, "expectation": {"value": 1}}, "feedback,expectation")
