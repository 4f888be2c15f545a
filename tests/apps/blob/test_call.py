import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.apps.blob.call import Call, parse_query
from lazward.contract.errors import ArmError


def call(headers=None, query=()):
    return Call(None, "blob", "GET", "/", list(query), headers or {}, "acct", "cont", "blob")


def test_a_plus_is_a_plus():
    assert parse_query("sig=a+b%2Fc%3D&comp=&x&=y&q=a=b") == [("sig", "a+b/c="), ("comp", ""), ("x", ""), ("", "y"), ("q", "a=b")]


@given(st.text(max_size=60))
def test_any_query_can_be_read(text):
    parse_query(text)


def test_names_of_parameters_have_no_case():
    assert call(query=[("ResType", "container"), ("COMP", "List")]).query == {"restype": "container", "comp": "List"}


@pytest.mark.parametrize("header", ["x-ms-encryption-key", "x-ms-encryption-scope", "x-ms-structured-body", "x-ms-if-tags", "x-ms-legal-hold"])
def test_what_would_be_a_lie_to_ignore_is_refused(header):
    with pytest.raises(ArmError) as caught:
        call({header: "x"})
    assert caught.value.status == 501


@pytest.mark.parametrize("name", ["snapshot", "versionid"])
def test_snapshots_and_versions_are_not_the_blob_of_today(name):
    with pytest.raises(ArmError) as caught:
        call(query=[(name, "2026-01-01")])
    assert caught.value.status == 501


class TestNumber:
    def test_good(self):
        assert call({"a": "7"}).number("a") == 7
        assert call().number("a") is None
        assert call(query=[("a", "7")]).number("a", query=True) == 7

    @pytest.mark.parametrize(("value", "code"), [("x", "InvalidHeaderValue"), ("1.5", "InvalidHeaderValue"), ("-1", "OutOfRangeInput"), ("9" * 400, "OutOfRangeInput"), ("", "MissingRequiredHeader")])
    def test_bad(self, value, code):
        with pytest.raises(ArmError) as caught:
            call({"a": value}).number("a", required=True)
        assert (caught.value.status, caught.value.code, caught.value.target) == (400, code, "a")
