import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain.durations import parse_duration

WHOLE = st.integers(0, 10**6)


class TestParseDuration:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("PT5S", 5), ("PT1M", 60), ("PT2H", 7200), ("P1D", 86400), ("P1W", 604800), ("P1DT2H3M4.5S", 93784.5), ("PT0S", 0), ("PT0.25S", 0.25), ("PT90M", 5400)],
    )
    def test_reads_what_azure_writes(self, text, seconds):
        assert parse_duration(text, "limits.timeout") == seconds

    @given(WHOLE, WHOLE, WHOLE, WHOLE)
    def test_is_the_sum_of_its_parts(self, days, hours, minutes, seconds):
        assert parse_duration(f"P{days}DT{hours}H{minutes}M{seconds}S", "t") == days * 86400 + hours * 3600 + minutes * 60 + seconds

    @pytest.mark.parametrize("text", ["", "P", "PT", "P1DT", "5", "5S", "PT5", "pt5m", "P1Y", "P1M", "-PT5S", "PT-5S", "PT5M3H", "PT5M\n", " PT5M", "PT٣S", "P" + "9" * 400 + "D"])
    def test_refuses_what_is_none_and_names_the_field(self, text):
        with pytest.raises(ArmError) as caught:
            parse_duration(text, "properties.limits.timeout")
        assert (caught.value.status, caught.value.target) == (400, "properties.limits.timeout")

    @given(st.text())
    def test_anything_is_a_finite_number_or_a_400(self, text):
        try:
            assert 0 <= parse_duration(text, "t") < float("inf")
        except ArmError as error:
            assert error.status == 400
