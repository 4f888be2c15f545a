from __future__ import annotations

import pytest

from lazward.domain.serving import (
    DeploymentState,
    EndpointState,
    GatewayState,
    TokenTrust,
    check_endpoint,
    endpoint_token_claims,
    parallel_limit,
    route_prefix,
)

READY = DeploymentState(("/run/s.0",))
GOOD = {"workspace": "ws", "name": "ep", "keys": ("0123456789abcdef",), "deployments": {"blue": READY, "green": READY}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "../other"}, "name"),
        ({"workspace": ""}, "workspace"),
        ({"workspace": "a/b"}, "workspace"),
        ({"name": "ép"}, "name"),
        ({"traffic": {"blue": 60}}, "sum up to 0 or 100"),
        ({"traffic": {"blue": 60, "green": 60}}, "not 120"),
        ({"traffic": {"blue": -50, "green": 150}}, "traffic of blue"),
        ({"traffic": {"red": 100}}, "'red'"),
        ({"mirror": {"red": 10}}, "mirror names"),
        ({"mirror": {"green": 101}}, "mirror of green"),
        ({"keys": ("short",)}, "at least 16"),
        ({"keys": ("with space 0123456789",)}, "without spaces"),
        ({"keys": ("line\nbreak-0123456789",)}, "printable"),
        ({"deployments": {"a.b": READY}}, "'a.b'"),
        ({"deployments": {"a": DeploymentState(timeout_s=0)}}, "timeout_s of a"),
        ({"deployments": {"a": DeploymentState(timeout_s=181)}}, "timeout_s of a"),
        ({"deployments": {"a": DeploymentState(max_parallel=0)}}, "max_parallel of a"),
    ],
)
def test_a_wrong_endpoint_is_refused_with_the_field(change, said):
    check_endpoint(EndpointState(**GOOD))
    with pytest.raises(ValueError, match="endpoint ") as caught:
        check_endpoint(EndpointState(**{**GOOD, **change}))
    assert said in str(caught.value)


def test_two_endpoints_can_not_share_a_path_and_tokens_need_trust():
    endpoint = EndpointState(**GOOD)
    with pytest.raises(ValueError, match="twice"):
        GatewayState((endpoint, endpoint)).check()
    with pytest.raises(ValueError, match="trusts no tokens"):
        GatewayState((EndpointState(**{**GOOD, "auth": "aad"}),)).check()


def test_trust_in_anybody_is_refused():
    aad = EndpointState(**{**GOOD, "auth": "aad"})
    good = TokenTrust("{}", "https://one/", ("https://two/",), ("aud",))
    GatewayState((aad,), good).check()
    for wrong in (
        TokenTrust("{}", ""),
        TokenTrust("{}", "https://one/", ("",), ("aud",)),
        TokenTrust("{}", "https://one/", ("https://two/",)),
        TokenTrust("{}", "https://one/", ("https://two/",), ("",)),
        TokenTrust("{}", "https://one/"),
    ):
        with pytest.raises(ValueError, match=r"issuer|audience"):
            GatewayState((aad,), wrong).check()


def test_a_token_is_bound_to_workspace_and_endpoint():
    assert endpoint_token_claims("ws", "ep") != endpoint_token_claims("ws", "other")
    assert endpoint_token_claims("ws", "ep") != endpoint_token_claims("ws2", "ep")
    assert route_prefix("ws", "ep") == EndpointState(**GOOD).prefix == "/ws/ep"


def test_as_many_requests_may_wait_as_are_scored():
    assert parallel_limit(1, 1) == 2
    assert parallel_limit(4, 3) == 24
    assert parallel_limit(0, 0) == 2
