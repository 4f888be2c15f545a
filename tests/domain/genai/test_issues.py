import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai import issues


def test_words():
    assert issues.check_word("low", "severity", issues.SEVERITIES) == "low"
    assert issues.check_word(None, "status", issues.STATUSES) is None and issues.check_word("", "status", issues.STATUSES) is None
    for wrong in ("LOW", 1, [], {}):
        with pytest.raises(MlflowError) as caught:
            issues.check_word(wrong, "severity", issues.SEVERITIES)
        assert caught.value.target == "severity"


def test_the_worst_has_the_highest_rank():
    assert [issues.rank(one) for one in (None, "not_an_issue", "low", "medium", "high")] == [-1, 0, 1, 2, 3]


def test_limits():
    assert issues.check_name("n") == "n" and issues.check_texts(["a"], "categories") == ["a"]
    with pytest.raises(MlflowError):
        issues.check_name("x" * 501)
    with pytest.raises(MlflowError):
        issues.check_texts(["a"] * 1001, "categories")
