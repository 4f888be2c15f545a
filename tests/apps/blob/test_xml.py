import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.apps.blob.xml import element, flatten, wrap
from lazward.contract.errors import ArmError

TEXT = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff\x7f"))


@given(st.lists(st.tuples(st.sampled_from(["Latest", "Name"]), TEXT)))
def test_what_is_written_is_read(pairs):
    document = wrap("Root", [wrap("In", (element(name, value) for name, value in pairs))])
    found = flatten(document.encode(), "Root")
    wanted = [(("In", name), value.strip()) for name, value in pairs] or [(("In",), "")]
    assert found == wanted


def test_attributes_are_quoted():
    assert wrap("A", [], {"b": 'x"<&'}) == "<A b='x\"&lt;&amp;'></A>"


@pytest.mark.parametrize("raw", [b"", b"<a>", b"<b/>", b"<!DOCTYPE a><a/>", b"<a>\x00</a>", b"<a>" * 30 + b"</a>" * 30, "<a>\ud800</a>".encode("utf-8", "surrogatepass")])
def test_what_is_none(raw):
    with pytest.raises(ArmError) as caught:
        flatten(raw, "a")
    assert (caught.value.status, caught.value.code) == (400, "InvalidXmlDocument")
