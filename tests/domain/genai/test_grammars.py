import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai.grammars import EVAL_DATASET_ORDERS, EVAL_DATASETS, ISSUES, MCP_SERVERS, MCP_VERSIONS
from lazward.domain.tracking.filter import All, Compare, parse_filter, parse_order


def test_what_may_be_searched():
    assert parse_filter("name LIKE 'a%' AND tags.team = 'x' AND created_time > 5 AND created_by = 'me'", EVAL_DATASETS)
    assert parse_filter("status = 'pending' AND source_run_id != 'r'", ISSUES)
    assert parse_order("last_update_time DESC", EVAL_DATASET_ORDERS).ascending is False
    assert parse_filter("has_access_endpoints = 'TRUE'", MCP_SERVERS) == Compare("attribute", "has_access_endpoints", "=", "true")
    assert parse_filter("version BETWEEN '1.0.0' AND '2.0.0'", MCP_VERSIONS) == All((Compare("attribute", "version", ">=", "1.0.0"), Compare("attribute", "version", "<=", "2.0.0")))


@pytest.mark.parametrize(("text", "grammar"), [("metrics.a > 1", EVAL_DATASETS), ("digest = 'x'", EVAL_DATASETS), ("created_time = 'no date'", EVAL_DATASETS), ("name = 'x'", ISSUES), ("tags.a = 'b'", ISSUES),
    ("has_access_endpoints = 'x'", MCP_SERVERS), ("has_access_endpoints != 'true'", MCP_SERVERS), ("version LIKE '1%'", MCP_VERSIONS), ("version > 1", MCP_VERSIONS)])
def test_what_may_not(text, grammar):
    with pytest.raises(MlflowError):
        parse_filter(text, grammar)


@pytest.mark.parametrize("text", ["created_by", "tags.a", "name UP"])
def test_orders_that_are_none(text):
    with pytest.raises(MlflowError):
        parse_order(text, EVAL_DATASET_ORDERS)
