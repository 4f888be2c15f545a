import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain.blobs.ranges import parse_range


@pytest.mark.parametrize(("header", "size", "found"), [
    (None, 5, None), ("", 5, None), ("bytes=0-4", 5, (0, 5)), ("bytes=0-", 5, (0, 5)), ("bytes=2-99", 5, (2, 5)), ("bytes=4-4", 5, (4, 5)),
    ("bytes=-2", 5, (3, 5)), ("bytes=-99", 5, (0, 5)), (" BYTES = 1-2 ", 5, (1, 3)),
])
def test_good(header, size, found):
    assert parse_range(header, size) == found


@pytest.mark.parametrize(("header", "size"), [("bytes=5-9", 5), ("bytes=0-", 0), ("bytes=0-0", 0), ("bytes=-0", 5), ("bytes=-1", 0)])
def test_behind_the_end_is_416_and_says_the_size(header, size):
    with pytest.raises(ArmError) as caught:
        parse_range(header, size)
    assert (caught.value.status, caught.value.code) == (416, "InvalidRange")
    assert caught.value.headers == {"content-range": f"bytes */{size}"}


@pytest.mark.parametrize("header", ["bytes=", "bytes=-", "bytes=a-b", "bytes=3-1", "lines=1-2", "bytes=1-2,4-5", "bytes=+1-2", "bytes=１-2", "bytes=" + "1" * 200 + "-"])
def test_nonsense_is_400(header):
    with pytest.raises(ArmError) as caught:
        parse_range(header, 10)
    assert (caught.value.status, caught.value.code) == (400, "InvalidHeaderValue")


@given(st.binary(min_size=1, max_size=50), st.integers(0, 60), st.integers(0, 60))
def test_agrees_with_slices(data, first, length):
    if first >= len(data):
        return
    start, end = parse_range(f"bytes={first}-{first + length}", len(data))
    assert data[start:end] == data[first : first + length + 1]
