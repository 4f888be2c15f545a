import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.mlflow import MlflowError
from lazward.storage import seq_pages


@given(st.integers(0, 10**18 - 1))
def test_a_token_leads_back(seq):
    assert seq_pages.place(seq_pages.token(seq)) == seq


def test_no_token():
    assert seq_pages.place(None) is None and seq_pages.place("") is None


@pytest.mark.parametrize("token", ["x", "s1", "cjE=", "é", "c" * 400, "c_-=", "czFh"])
def test_tokens_of_nobody(token):
    with pytest.raises(MlflowError, match="page token"):
        seq_pages.place(token)
