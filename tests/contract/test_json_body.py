import copy
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.contract.json_body import MAX_DEPTH, copied, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20,
)


class TestReadJson:
    @given(VALUES)
    def test_reads_what_json_says(self, value):
        raw = json.dumps(value).encode()
        if "\\u0000" in raw.decode().replace("\\\\", ""):
            with pytest.raises(ArmError):
                read_json(raw)
            return
        read = read_json(raw)
        assert read == json.loads(raw)
        assert read_json(msgspec.json.encode(read)) == read  # what was taken can be stored and given back

    @pytest.mark.parametrize("raw", [b"", b"  \n"])
    def test_empty_is_an_empty_object(self, raw):
        assert read_json(raw) == {}

    @pytest.mark.parametrize("raw", [
        b"{", b"nonsense", b"{'a': 1}", b"[1,]", b"\xff\xfe", b"\xef\xbb\xbf{}", b'"\\ud800"', b'"\\udc00 lone"', b"NaN", b"1e999", b"1" * 5000, b'{"a":1}}',
        b'{"a" 1}', b"\x00", b'"\x00"', b"[" * 100_000, b'{"a":' * 100_000,
    ])
    def test_malformed(self, raw):
        with pytest.raises(ArmError) as caught:
            read_json(raw)
        assert (caught.value.status, caught.value.code, caught.value.target) == (400, "InvalidRequestContent", "body")

    @pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
    def test_depth(self, opening, closing):
        def nested(depth: int) -> bytes:
            return (opening * depth + "1" + closing * depth).encode()

        copy.deepcopy(read_json(nested(MAX_DEPTH)))
        with pytest.raises(ArmError):
            read_json(nested(MAX_DEPTH + 1))

    def test_brackets_in_texts_and_wide_values_are_no_depth(self):
        assert read_json(json.dumps(["[{" * 500]).encode()) == ["[{" * 500]
        assert len(read_json(b"[" + b"[]," * 5000 + b"[]]")) == 5001

    @pytest.mark.parametrize(("raw", "target"), [
        (b'"\\u0000"', "body"), (b'{"a":{"b":[1,"x\\u0000y"]}}', "a.b[1]"), (b'{"a\\u0000":1}', "body"), (b'{"a":{"\\u0000":1}}', "a"),
    ])
    def test_nul_is_named(self, raw, target):
        with pytest.raises(ArmError) as caught:
            read_json(raw)
        assert caught.value.target == target

    def test_an_escaped_backslash_before_u0000_is_text(self):
        assert read_json(b'"\\\\u0000"') == "\\u0000"

    def test_the_last_of_two_members_counts(self):
        assert read_json(b'{"a":1,"a":2}') == {"a": 2}


class TestCopied:
    @given(VALUES)
    def test_is_the_same_value(self, value):
        assert copied(value) == value

    @given(VALUES)
    def test_shares_nothing_that_can_change(self, value):
        def inside(one):
            if isinstance(one, dict | list):
                yield id(one)
                for inner in one.values() if isinstance(one, dict) else one:
                    yield from inside(inner)

        other = copied(value)  # both are kept, so that no id is used twice
        assert not set(inside(value)) & set(inside(other))
