import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.contract.ids import check_name, parse

NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789-_.", min_size=1, max_size=20).filter(lambda s: s.strip("."))
JOB = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/jobs/j"


class TestParse:
    def test_reads_a_nested_resource(self):
        rid = parse(JOB)
        assert (rid.subscription, rid.group, rid.type_path, rid.name) == ("s", "g", "workspaces/jobs", "j")
        assert str(rid) == JOB
        assert str(rid.parent) == JOB.rsplit("/jobs", 1)[0]
        assert str(rid.parent.parent) == "/subscriptions/s/resourceGroups/g"

    def test_a_trailing_type_is_a_collection(self):
        assert parse(JOB.rsplit("/", 1)[0]).name == ""

    def test_keys_compare_without_regard_to_case(self):
        assert parse(JOB.upper()).key == parse(JOB).key

    def test_extension_resources_keep_their_scope(self):
        rid = parse(JOB + "/providers/Microsoft.Authorization/roleAssignments/x")
        assert rid.scope == JOB
        assert rid.parent.key == parse(JOB).key

    @given(NAMES, NAMES, NAMES, NAMES)
    def test_printing_and_parsing_agree(self, sub, group, workspace, job):
        text = f"/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{workspace}/jobs/{job}"
        assert str(parse(text)) == text

    @pytest.mark.parametrize("text", ["", "/", "/x", "/subscriptions", "/subscriptions/s/resourceGroups/g/jobs/j", "/providers"])
    def test_refuses_what_is_no_id(self, text):
        with pytest.raises(ArmError) as caught:
            parse(text)
        assert caught.value.status == 400

    @given(st.text())
    def test_never_fails_otherwise(self, text):
        try:
            parse(text)
        except ArmError:
            pass


class TestCheckName:
    @pytest.mark.parametrize("name", ["..", ".", "", "a\0b", "a/b", "a\\b", "a?b", "a#b", "a%2e", " a", "a ", "名" * 86, "a\u202eb", "a\u200bb", "a\u00adb", "a\u0301", "a\u2028b", "a\ue000", "a\U000e0041b", "a\ud800", "a\u061cb", "x" * 256, "a\nb"])
    def test_s2_refuses_names_that_could_lead_elsewhere(self, name):
        with pytest.raises(ArmError):
            check_name(name)

    @pytest.mark.parametrize("name", ["a", "A-b_c.d", "名前", "é", "Ünïcode", "\U0001f600", "x" * 255, "v1.0"])
    def test_takes_names(self, name):
        assert check_name(name) == name
