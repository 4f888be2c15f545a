from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from lazward.apps.request_metrics import _Requests


def test_what_prometheus_reads():
    registry, requests = CollectorRegistry(), _Requests()
    registry.register(requests)
    for status, seconds in ((200, 0.001), (200, 0.005), (404, 0.3), (200, 100.0)):
        requests.add("arm", "GET", status, seconds)
    text = generate_latest(registry).decode()
    assert 'lazward_http_requests_total{method="GET",status="200",surface="arm"} 3.0' in text
    assert 'lazward_http_requests_total{method="GET",status="404",surface="arm"} 1.0' in text
    for bound, count in (("0.005", 2), ("0.25", 2), ("0.5", 3), ("10.0", 3), ("+Inf", 4)):
        assert f'lazward_http_request_seconds_bucket{{le="{bound}",surface="arm"}} {count}.0' in text
    assert 'lazward_http_request_seconds_count{surface="arm"} 4.0' in text
    assert 'lazward_http_request_seconds_sum{surface="arm"} 100.306' in text
