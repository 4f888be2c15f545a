import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain.blobs import names

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def test_a_storage_account_is_named_by_its_workspace():
    assert names.storage_account("01234567-89AB-cdef-0123-456789abcdef") == "lz0123456789abcdef0123"


@pytest.mark.parametrize(("host", "found"), [
    ("acct1.blob.core.windows.net", ("acct1", "blob")), ("acct1.dfs.core.team.lan", ("acct1", "dfs")),
    ("acct1.blob.core.windows.net.evil.lan", None), ("acct1.blob.core.other.lan", None), ("evil.acct1.blob.core.windows.net", None), ("a.blob.core.windows.net", None),
    ("acct1.file.core.windows.net", None), ("team.lan", None), ("acct1.blob.team.lan", None), ("acct1.blob.coreXteam.lan", None),
])
def test_an_account_in_front_of_a_name_of_ours(host, found):
    assert names.account_in_host(host, "Team.lan") == found


class TestContainer:
    @pytest.mark.parametrize("name", ["abc", "a-b-c", "azureml-blobstore-0123", "0" * 63])
    def test_good(self, name):
        assert names.check_container(name) == name

    @pytest.mark.parametrize("name", ["", "ab", "A-b", "a--b", "-abc", "abc-", "a" * 64, "a_b", "../etc", "abc\n", "~abc", "$root", "ab/c"])
    def test_bad(self, name):
        with pytest.raises(ArmError) as caught:
            names.check_container(name)
        assert (caught.value.status, caught.value.code, caught.value.target) == (400, "InvalidResourceName", "container")


class TestBlob:
    @pytest.mark.parametrize("name", ["a", "a/b/c.txt", "a//b", "/a", "a/", "..a", "a..", "a/...", "ü/日本/🙂", "a\\..\\b", "%2e%2e/x", "c:\\x", " ", "a" * 1024, "'; drop table"])
    def test_is_data_whatever_it_looks_like(self, name):
        assert names.check_blob(name) == name

    @pytest.mark.parametrize("name", ["", "a" * 1025, "..", ".", "a/../b", "../a", "a/..", "./a", "a\0b", "a\nb", "\x7f", "\ud800", "a\ufffe"])
    def test_what_no_listing_or_folder_could_show_is_refused(self, name):
        with pytest.raises(ArmError) as caught:
            names.check_blob(name)
        assert (caught.value.status, caught.value.code, caught.value.target) == (400, "InvalidResourceName", "blob")


class TestMeta:
    def test_good(self):
        assert names.check_meta({"upload_status": "completed", "_x1": "é"}) == {"upload_status": "completed", "_x1": "é"}

    @pytest.mark.parametrize("meta", [{"a-b": "1"}, {"1a": "1"}, {"": "1"}, {"a": "x\r\nset-cookie: y"}, {"a": "日"}, {"a\n": "1"}])
    def test_what_could_not_be_a_header_is_refused(self, meta):
        with pytest.raises(ArmError) as caught:
            names.check_meta(meta)
        assert caught.value.code == "InvalidMetadata"

    def test_at_most_eight_kibibytes(self):
        with pytest.raises(ArmError) as caught:
            names.check_meta({"a": "x" * 8192})
        assert caught.value.code == "MetadataTooLarge"


class TestOrder:
    @given(TEXT, TEXT)
    def test_python_compares_as_the_databases_do(self, a, b):
        assert (a < b) == (a.encode() < b.encode())

    @given(TEXT, TEXT, TEXT)
    def test_after_prefix_bounds_exactly_what_starts_so(self, prefix, rest, other):
        bound = names.after_prefix(prefix)
        if bound is None:
            assert prefix == "" or set(prefix) == {"\U0010ffff"}
            return
        assert prefix + rest < bound
        assert (prefix <= other < bound) == other.startswith(prefix)

    def test_no_surrogate_is_made(self):
        assert names.after_prefix("a\ud7ff") == "a\ue000"


def test_folded():
    assert names.folded("a/b/c", "", "/") == "a/"
    assert names.folded("a/b/c", "a/", "/") == "a/b/"
    assert names.folded("a/b", "a/", "/") is None
    assert names.folded("a/b", "", "") is None
    assert names.folded("x--y--z", "x", "--") == "x--"


def test_parents():
    assert names.parents("a/b/c.txt") == ["a", "a/b"]
    assert names.parents("a") == []
    assert names.parents("/a") == []
