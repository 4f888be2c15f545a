import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.apps.blob.checksums import Checksums, Crc64
from lazward.contract.errors import ArmError

CRC = base64.b64encode(bytes.fromhex("ae8b14860a799888")[::-1]).decode()  # the check value of CRC-64/NVME, of "123456789"
MD5 = base64.b64encode(hashlib.md5(b"123456789").digest()).decode()


def run(headers, *pieces, **kwargs):
    checksums = Checksums(headers, **kwargs)
    for piece in pieces:
        for digest in checksums.digests:
            digest.update(piece)
    checksums.verify()
    return checksums.answer()


def test_good_ones_are_answered():
    assert run({"content-md5": MD5, "x-ms-content-crc64": CRC}, b"1234", b"", b"56789") == {"content-md5": MD5, "x-ms-content-crc64": CRC}
    assert run({}, b"x") == {}
    assert run({}, b"123456789", want_md5=True) == {"content-md5": MD5}


@pytest.mark.parametrize(("headers", "code"), [({"content-md5": MD5}, "Md5Mismatch"), ({"x-ms-content-crc64": CRC}, "Crc64Mismatch"), ({"content-md5": "x"}, "InvalidHeaderValue"), ({"x-ms-content-crc64": MD5}, "InvalidHeaderValue")])
def test_bad_ones(headers, code):
    with pytest.raises(ArmError) as caught:
        run(headers, b"12345678")
    assert (caught.value.status, caught.value.code) == (400, code)


@given(st.lists(st.binary(max_size=40)))
def test_pieces_do_not_matter(pieces):
    whole, parts = Crc64(), Crc64()
    whole.update(b"".join(pieces))
    for piece in pieces:
        parts.update(piece)
    assert whole.digest() == parts.digest()
