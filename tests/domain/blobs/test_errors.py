import re
from pathlib import Path

import lazward
from lazward.domain.blobs.errors import _CODES, storage_error, unsupported


def test_the_headers_of_an_error_are_named_with_dashes():
    error = storage_error("InvalidRange", "Why.", "Range", content_range="bytes */5")
    assert (error.status, error.headers) == (416, {"content-range": "bytes */5"})
    assert error.message.endswith(" Why.")


def test_what_is_not_built_is_not_retried_by_clients():
    assert unsupported("X").status == 501


def test_every_code_raised_anywhere_is_in_the_table():
    root = Path(lazward.__file__).parent
    raised = set()
    for path in root.rglob("*.py"):
        raised.update(re.findall(r'storage_error\(\s*"(\w+)"', path.read_text()))
    assert raised <= set(_CODES)
    assert len(raised) > 40
