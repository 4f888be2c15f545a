from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.trace_metrics import Aggregation, Filter, check_query

COUNT = {"aggregation_type": "COUNT"}


def check(view="TRACES", metric="trace_count", aggregations=(COUNT,), dimensions=(), filters=(), interval=None, start=None, end=None):
    return check_query(view, metric, list(aggregations), list(dimensions), list(filters), interval, start, end, 10)


def test_questions():
    asked = check(2, "latency", [{"aggregation_type": 4, "percentile_value": 99}, {"aggregation_type": "AVG"}, {"aggregation_type": 3}], ["span_name"], ["span.type = 'LLM'", "trace.tag.`a b` = \"c\""])
    assert (asked.view, asked.aggregations) == ("SPANS", [Aggregation("PERCENTILE", 99.0), Aggregation("AVG")])
    assert [a.label for a in asked.aggregations] == ["P99.0", "AVG"]
    assert asked.filters == [Filter("span", "type", "", "LLM"), Filter("trace", "tag", "a b", "c")]


@pytest.mark.parametrize("wrong", [
    {"view": "RUNS"}, {"view": 0}, {"view": None}, {"view": True}, {"metric": "x"}, {"aggregations": []}, {"aggregations": [{"aggregation_type": "SUM"}]}, {"aggregations": ["COUNT"]}, {"aggregations": [{"aggregation_type": 9}]},
    {"aggregations": [{"aggregation_type": "COUNT", "percentile_value": 5}]}, {"metric": "latency", "aggregations": [{"aggregation_type": "PERCENTILE"}]},
    {"metric": "latency", "aggregations": [{"aggregation_type": "PERCENTILE", "percentile_value": 101}]}, {"metric": "latency", "aggregations": [{"aggregation_type": "PERCENTILE", "percentile_value": "NaN"}]}, {"dimensions": ["span_name"]}, {"interval": 60}, {"interval": -1, "start": 0, "end": 1},
    {"aggregations": [{"aggregation_type": "AVG"}] * 60}, *({"filters": [text]} for text in (
        "", "trace.status", "trace.status != 'OK'", "trace.status = OK", "status = 'OK'", "trace.nothing = 'x'", "trace.tag = 'x'", "trace.status.x = 'OK'", "span.name = 'x'", "assessment.name = 'x'",
        "trace.status = 'OK' AND trace.status = 'OK'", "trace.status = 'a\0'", " " * 20_000, "trace.tag." + "x" * 20_000,
    )),
])
def test_errors(wrong):
    with pytest.raises(MlflowError) as error:
        check(**wrong)
    assert error.value.code == "INVALID_PARAMETER_VALUE"
