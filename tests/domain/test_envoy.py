from __future__ import annotations

import json
import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.envoy import JWT, RBAC, Files, Listen, cluster_name, envoy_config
from lazward.domain.serving import DeploymentState, EndpointState, GatewayState, TokenTrust

FILES = Files("/g/admin", "/g/lds", "/g/cds", "/g/rds", "/g/sds", "/tls/cert.pem", "/tls/key.pem")
LISTEN = Listen("127.0.0.1", 8444)
TRUST = TokenTrust('{"keys": []}', "https://issuer/", ("https://issuer/v2.0",), ("aud",))
NAMES = st.sampled_from(["a", "b", "blue", "green-1", "X_9"])
KEYS = st.lists(st.text("abcdefXYZ0189-_=+/", min_size=16, max_size=40), max_size=2, unique=True).map(tuple)
DEPLOYMENTS = st.builds(
    DeploymentState,
    sockets=st.lists(st.sampled_from(["/s/1", "/s/2", "/s/3"]), max_size=3, unique=True).map(tuple),
    probe=st.sampled_from([None, "/s/probe"]),
    timeout_s=st.floats(0.1, 180),
    max_parallel=st.integers(1, 1000),
)


@st.composite
def endpoints(draw):
    deployments = draw(st.dictionaries(NAMES, DEPLOYMENTS, max_size=4))
    names = sorted(deployments)
    traffic = {}
    if names and draw(st.booleans()):
        cuts = sorted(draw(st.lists(st.integers(0, 100), min_size=len(names) - 1, max_size=len(names) - 1)))
        traffic = {name: end - start for name, start, end in zip(names, [0, *cuts], [*cuts, 100], strict=True)}
    mirror = {name: draw(st.integers(0, 100)) for name in names if draw(st.booleans())}
    auth = draw(st.sampled_from(["key", "token", "aad"]))
    principals = draw(st.lists(st.sampled_from(["p", "q"]), unique=True).map(tuple))
    workspace, name = draw(NAMES), draw(NAMES)
    home, runs = draw(st.sampled_from([("", ()), ("/w", ()), ("/w", ("r1", "r2"))]))
    return EndpointState(workspace, name, auth, draw(KEYS), principals, home, runs, traffic, mirror, deployments)


STATES = st.lists(endpoints(), max_size=4, unique_by=lambda e: e.prefix).map(lambda es: GatewayState(tuple(es), TRUST))


def routes_of(config) -> list[dict]:
    return config["rds"]["resources"][0]["virtual_hosts"][0]["routes"]


def routes_of_endpoint(config, endpoint) -> list[dict]:
    """Those that a path of the endpoint can match, in order."""
    own = (endpoint.prefix, f"{endpoint.prefix}/")
    return [r for r in routes_of(config) if r["match"].get("path_separated_prefix", r["match"].get("path")) in own]


def chosen(config, endpoint, deployment: str | None) -> dict:
    """The route that POST <prefix>/score takes, as Envoy picks it: the first that matches."""
    for route in routes_of_endpoint(config, endpoint):
        if "path" in route["match"]:
            continue
        wanted = route["match"].get("headers", [])
        if all(deployment is not None and h.get("string_match", {}).get("exact", deployment) == deployment for h in wanted):
            return route
    raise AssertionError("no route")


@given(STATES)
def test_traffic_goes_where_it_should_and_sums_up_to_100(state):
    config = envoy_config(state, LISTEN, FILES)
    for endpoint in state.endpoints:
        shares = {name: percent for name, percent in endpoint.traffic.items() if percent}
        route = chosen(config, endpoint, None)
        if not shares:
            assert route["direct_response"]["status"] == 404
        elif not any(endpoint.deployments[name].ready for name in shares):
            assert route["direct_response"]["status"] == 503
        else:
            weights = {c["name"]: c["weight"] for c in route["route"]["weighted_clusters"]["clusters"]}
            assert weights == {cluster_name(endpoint, name): percent for name, percent in shares.items()}
            assert sum(weights.values()) == 100
        for name, deployment in endpoint.deployments.items():
            route = chosen(config, endpoint, name)
            if deployment.ready:
                assert [c["name"] for c in route["route"]["weighted_clusters"]["clusters"]] == [cluster_name(endpoint, name)]
                assert "request_mirror_policies" not in route["route"]
            else:
                assert route["direct_response"]["status"] == 503
        assert chosen(config, endpoint, "no-such-deployment")["direct_response"]["status"] == 404


@given(STATES)
def test_every_route_is_guarded_by_its_own_endpoint(state):
    config = envoy_config(state, LISTEN, FILES)
    *guarded, last = routes_of(config)
    assert last["match"] == {"prefix": "/"}
    assert last["direct_response"]["status"] == 404
    assert sum(len(routes_of_endpoint(config, endpoint)) for endpoint in state.endpoints) == len(guarded)
    for endpoint in state.endpoints:
        for route in routes_of_endpoint(config, endpoint):
            filters = route["typed_per_filter_config"]
            policies = filters[RBAC]["rbac"]["rules"]["policies"]
            opened = json.dumps([policy["principals"] for policy in policies.values()])
            assert filters[RBAC]["rbac"]["rules"]["action"] == "ALLOW"
            if endpoint.auth == "key":
                assert set(_exacts(policies)) == {f"{s} {key}" for key in endpoint.keys for s in ("Bearer", "bearer")}
                assert "claims" not in opened
            elif endpoint.auth == "token":
                assert _claimed(policies) == {"endpoint": {f"{endpoint.workspace}/{endpoint.name}"}, **_limits(endpoint)}
                assert filters[JWT]["requirement_name"] == "token"
            else:
                assert _claimed(policies) == ({"oid": set(endpoint.principals), **_limits(endpoint)} if endpoint.principals else {})
                assert filters[JWT]["requirement_name"] == "aad"


def _exacts(policies) -> list[str]:
    found = []
    for policy in policies.values():
        (principal,) = policy["principals"]
        for one in principal["or_ids"]["ids"]:
            found.append(one["header"]["string_match"]["exact"])
    return found


def _claimed(policies) -> dict[str, set]:
    """The values that each claim may have; None stands for its absence."""
    found: dict[str, set] = {}

    def walk(one) -> None:
        ((kind, inner),) = one.items()
        if kind == "metadata":
            found.setdefault(inner["path"][-1]["key"], set()).add(inner["value"]["string_match"]["exact"])
        elif kind == "not_id":
            assert inner["metadata"]["value"] == {"present_match": True}
            found.setdefault(inner["metadata"]["path"][-1]["key"], set()).add(None)
        else:
            for each in inner["ids"]:
                walk(each)

    for policy in policies.values():
        for principal in policy["principals"]:
            walk(principal)
    return found


def _limits(endpoint) -> dict[str, set]:
    """A token without the limits of a run, or one of a run of the endpoint's own workspace."""
    if endpoint.runs and endpoint.home:
        return {"lz_bound": {None, endpoint.home}, "lz_run": {None, *endpoint.runs}}
    return {"lz_bound": {None}, "lz_run": {None}}


def test_only_our_own_names_are_served():
    config = envoy_config(GatewayState(), Listen("127.0.0.1", 8444, ("Gate.example",)), FILES)
    ours, other = config["rds"]["resources"][0]["virtual_hosts"]
    assert set(ours["domains"]) == {name + port for name in ("localhost", "127.0.0.1", "[::1]", "gate.example") for port in ("", ":*")}
    [route] = other["routes"]
    assert (other["domains"], route["match"], route["direct_response"]["status"]) == (["*"], {"prefix": "/"}, 421)


@given(STATES)
def test_clusters_that_routes_name_exist_and_have_hosts(state):
    config = envoy_config(state, LISTEN, FILES)
    hosts = {c["name"]: c["load_assignment"]["endpoints"][0]["lb_endpoints"] for c in config["cds"]["resources"]}
    assert all(hosts.values())
    unready = {
        cluster_name(e, name) for e in state.endpoints for name, deployment in e.deployments.items() if not deployment.ready
    }
    for route in routes_of(config):
        action = route.get("route", {})
        named = [c["name"] for c in action.get("weighted_clusters", {}).get("clusters", [])]
        named += [policy["cluster"] for policy in action.get("request_mirror_policies", [])]
        assert set(named) <= set(hosts) | unready
        for policy in action.get("request_mirror_policies", []):
            assert policy["cluster"] in hosts


@given(STATES, st.randoms(use_true_random=False))
def test_the_order_of_endpoints_and_deployments_does_not_matter(state, rng: random.Random):
    def shuffled(mapping):
        items = list(mapping.items())
        rng.shuffle(items)
        return dict(items)

    turned = [
        msgspec.structs.replace(e, traffic=shuffled(e.traffic), deployments=shuffled(e.deployments))
        for e in state.endpoints
    ]
    rng.shuffle(turned)
    assert envoy_config(GatewayState(tuple(turned), TRUST), LISTEN, FILES) == envoy_config(state, LISTEN, FILES)


def test_versions_follow_the_content():
    def config(percent: int):
        deployments = {"a": DeploymentState(("/s/1",)), "b": DeploymentState(("/s/2",))}
        keys = ("0123456789abcdef",)
        endpoint = EndpointState("w", "e", keys=keys, traffic={"a": percent, "b": 100 - percent}, deployments=deployments)
        return envoy_config(GatewayState((endpoint,)), LISTEN, FILES)

    one, other = config(10), config(20)
    assert one == config(10)
    assert one["rds"]["version_info"] != other["rds"]["version_info"]
    assert [one[name]["version_info"] for name in ("cds", "lds", "sds")] == [
        other[name]["version_info"] for name in ("cds", "lds", "sds")
    ]


def test_keys_are_in_the_routes_only():
    key = "a-very-secret-key-0123"
    endpoint = EndpointState("w", "e", keys=(key,), deployments={"a": DeploymentState(("/s/1",))}, traffic={"a": 100})
    config = envoy_config(GatewayState((endpoint,)), LISTEN, FILES)
    assert {name for name, document in config.items() if key in json.dumps(document)} == {"rds"}
