import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.apps.blob.markers import from_marker, to_marker
from lazward.contract.errors import ArmError


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_round_trip_in_a_url(name):
    marker = to_marker(name)
    assert from_marker(marker) == name
    assert marker.replace("-", "").replace("_", "").isalnum() or marker == ""


@given(st.text(max_size=30))
def test_anything_else_is_400(text):
    try:
        from_marker(text)
    except ArmError as error:
        assert (error.status, error.target) == (400, "marker")


@pytest.mark.parametrize("text", ["!", "a", "_w", "é"])
def test_what_is_none(text):
    with pytest.raises(ArmError):
        from_marker(text)
