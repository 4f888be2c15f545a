import pytest

from lazward.contract.errors import ArmError
from lazward.domain.blobs.conditions import ABSENT, NONE, Conditions, check_read, check_write, parse_conditions

AT = 1_700_000_000.7
DATE, BEFORE, AFTER = "Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:19 GMT", "Tue, 14 Nov 2023 22:13:21 GMT"


def outcome(check, headers, etag="0xA"):
    try:
        check(parse_conditions(headers), etag, AT)
    except ArmError as error:
        return error.status, error.code
    return None


class TestParse:
    def test_etags_lose_quotes_and_weakness(self):
        assert parse_conditions({"if-match": '"0xA", W/"0xB"', "if-none-match": "*"}) == Conditions(("0xA", "0xB"), ("*",))

    def test_the_source_of_a_copy_has_its_own(self):
        assert parse_conditions({"if-match": "1", "x-ms-source-if-match": "2"}, "x-ms-source-").if_match == ("2",)

    def test_a_bad_date_names_its_header(self):
        with pytest.raises(ArmError) as caught:
            parse_conditions({"if-modified-since": "yesterday"})
        assert (caught.value.status, caught.value.target) == (400, "if-modified-since")


@pytest.mark.parametrize(("headers", "wanted"), [
    ({}, None), ({"if-match": '"0xA"'}, None), ({"if-match": "*"}, None), ({"if-match": '"0xB"'}, 412),
    ({"if-none-match": '"0xB"'}, None), ({"if-none-match": '"0xA"'}, 304), ({"if-none-match": "*"}, 304),
    ({"if-modified-since": BEFORE}, None), ({"if-modified-since": DATE}, 304), ({"if-modified-since": AFTER}, 304),
    ({"if-unmodified-since": DATE}, None), ({"if-unmodified-since": BEFORE}, 412),
    ({"if-none-match": '"0xB"', "if-modified-since": AFTER}, None),  # the etag is the finer word
])
def test_read(headers, wanted):
    assert outcome(check_read, headers) == (None if wanted is None else (wanted, "ConditionNotMet"))


@pytest.mark.parametrize(("headers", "wanted"), [
    ({}, None), ({"if-match": '"0xA"'}, None), ({"if-match": '"0xB"'}, (412, "ConditionNotMet")), ({"if-none-match": "*"}, (409, "BlobAlreadyExists")),
    ({"if-none-match": '"0xA"'}, (412, "ConditionNotMet")), ({"if-none-match": '"0xB"'}, None), ({"if-modified-since": DATE}, (412, "ConditionNotMet")),
    ({"if-modified-since": BEFORE}, None), ({"if-unmodified-since": BEFORE}, (412, "ConditionNotMet")), ({"if-unmodified-since": DATE}, None),
])
def test_write(headers, wanted):
    assert outcome(check_write, headers) == wanted


class TestWriteOfWhatIsAbsent:
    def test_creating_is_fine(self):
        check_write(NONE, None)
        check_write(ABSENT, None)
        check_write(Conditions(create_only=True), None)

    def test_a_match_is_asked_for(self):
        with pytest.raises(ArmError) as caught:
            check_write(Conditions(if_match=("*",)), None)
        assert caught.value.code == "ConditionNotMet"

    def test_a_signature_that_only_creates_never_overwrites(self):
        with pytest.raises(ArmError) as caught:
            check_write(Conditions(create_only=True, if_match=("*",)), "0xA", AT)
        assert (caught.value.status, caught.value.code) == (403, "UnauthorizedBlobOverwrite")
