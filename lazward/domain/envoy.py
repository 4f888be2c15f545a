"""Envoy's configuration for a GatewayState: documents for its filesystem xDS. Pure; apps/serving/gateway.py writes them.

Who may pass is decided twice by Envoy's RBAC filter: the listener refuses everything, and each route of an endpoint names
the keys or the claims that open it. So a route that was forgotten is shut.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec

from lazward.domain.envoy_listener import LISTENER_STAT, REQUEST_ID, ROUTES, listener, tls_secret
from lazward.domain.serving import (
    BOUND_CLAIM,
    ENDPOINT_CLAIM,
    RUN_CLAIM,
    EndpointState,
    GatewayState,
    endpoint_token_claims,
)

DEPLOYMENT_HEADER = "azureml-model-deployment"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
IDLE_S = 60  # the gateway closes idle connections to workers after this; workers never do
RETRIES = 12
RESENDS = 4
JWT = "envoy.filters.http.jwt_authn"
RBAC = "envoy.filters.http.rbac"
_TYPE = "type.googleapis.com/"
_RBAC_ROUTE = f"{_TYPE}envoy.extensions.filters.http.rbac.v3.RBACPerRoute"
_JWT_ROUTE = f"{_TYPE}envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


class Files(msgspec.Struct, frozen=True):
    """Absolute paths that the documents refer to."""

    admin_socket: str
    lds: str
    cds: str
    rds: str
    sds: str
    certificate: str  # PEM chain
    private_key: str  # PEM


class Listen(msgspec.Struct, frozen=True):
    host: str  # an IP address
    port: int
    names: tuple[str, ...] = ()  # hosts it answers under besides the loopback ones


def envoy_config(state: GatewayState, listen: Listen, files: Files) -> dict[str, dict[str, Any]]:
    """The documents bootstrap, lds, cds, rds and sds. Raises ValueError for a state that makes no sense.

    The version of each is the hash of its content, so an unchanged document stays the same byte for byte."""
    state.check()
    endpoints = sorted(state.endpoints, key=lambda endpoint: endpoint.prefix)
    clusters = [cluster for endpoint in endpoints for cluster in _clusters(endpoint)]
    routes = {
        "@type": f"{_TYPE}envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "virtual_hosts": [{"name": "ours", "domains": _domains(listen), "routes": _routes(endpoints)}, _NOT_OURS],
        # Keys and tokens are for the gateway only; the model has no use for what Envoy adds.
        "request_headers_to_remove": ["authorization", "x-envoy-original-path", "x-envoy-external-address"],
        # A cluster that is still being loaded must not make Envoy refuse all routes.
        "validate_clusters": False,
    }
    return {
        "bootstrap": _bootstrap(files),
        "lds": versioned([listener(listen.host, listen.port, files.rds, files.sds, state.tokens)]),
        "cds": versioned(clusters),
        "rds": versioned([routes]),
        "sds": versioned([tls_secret(files.certificate, files.private_key)]),
    }


def _domains(listen: Listen) -> list[str]:
    """What a Host may say, with any port. A page of another origin whose name was made to lead here is refused (S7)."""
    names = dict.fromkeys(name.lower() for name in (*LOOPBACK, *listen.names) if name)
    return [spelling for name in names for spelling in (name, f"{name}:*")]


def versioned(resources: list[dict[str, Any]]) -> dict[str, Any]:
    """A DiscoveryResponse."""
    digest = hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()
    return {"version_info": digest[:32], "resources": resources}


def cluster_name(endpoint: EndpointState, deployment: str) -> str:
    """Also the name under which Envoy counts."""
    return f"{endpoint.workspace}/{endpoint.name}/{deployment}"


def _probe_name(endpoint: EndpointState, deployment: str) -> str:
    return f"{cluster_name(endpoint, deployment)}/probe"


def _bootstrap(files: Files) -> dict[str, Any]:
    def source(path: str) -> dict[str, Any]:
        return {"path_config_source": {"path": path}, "resource_api_version": "V3"}

    return {
        "node": {"id": "lazward-gateway", "cluster": "lazward"},
        "admin": {"address": {"pipe": {"path": files.admin_socket, "mode": 0o600}}},
        "dynamic_resources": {"lds_config": source(files.lds), "cds_config": source(files.cds)},
        # Names of endpoints must stay whole in the names of statistics.
        "stats_config": {"use_all_default_tags": False},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_TYPE}envoy.extensions.resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 10_000,
                    },
                }
            ]
        },
    }


def _clusters(endpoint: EndpointState) -> list[dict[str, Any]]:
    clusters = []
    for name, deployment in sorted(endpoint.deployments.items()):
        limit = deployment.max_parallel
        if deployment.ready:
            clusters.append(_cluster(cluster_name(endpoint, name), deployment.sockets, limit, deployment.timeout_s))
        if deployment.probe:
            clusters.append(_cluster(_probe_name(endpoint, name), (deployment.probe,), 100, 10))
    return clusters


def _cluster(name: str, sockets: tuple[str, ...], limit: int, timeout_s: float) -> dict[str, Any]:
    hosts = [{"endpoint": {"address": {"pipe": {"path": path}}}} for path in sockets]
    threshold = {
        "max_requests": limit,
        # Only max_requests is to limit: connections come on top for retries and for ones that are being closed.
        "max_connections": 1024 + limit,
        "max_pending_requests": 1024 + limit,
        "max_retries": 1024 + limit,
    }
    return {
        "@type": f"{_TYPE}envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]},
        "circuit_breakers": {"thresholds": [threshold]},
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": _TYPE + _HTTP_OPTIONS,
                # Here and not in the route: a route that splits traffic has one time limit for all its deployments.
                "common_http_protocol_options": {"idle_timeout": f"{IDLE_S}s", "max_stream_duration": f"{timeout_s:g}s"},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _routes(endpoints: list[EndpointState]) -> list[dict[str, Any]]:
    routes = [route for endpoint in endpoints for route in _endpoint_routes(endpoint)]
    nothing = _error(404, "EndpointNotFound", "There is no online endpoint at this path.")
    # Open to all: it tells nothing, and 401 would send people with a typing error after their keys.
    routes.append({"match": {"prefix": "/"}, **nothing, "typed_per_filter_config": _open()})
    return routes


def _endpoint_routes(endpoint: EndpointState) -> list[dict[str, Any]]:
    """First the routes of named deployments, then of the traffic split. Of each, GET / goes to the master of the deployment."""
    guard = {"typed_per_filter_config": _guard(endpoint)}
    routes = []
    for name in sorted(endpoint.deployments):
        named = {"name": DEPLOYMENT_HEADER, "string_match": {"exact": name}}
        routes += _routes_to(endpoint, {name: 100}, [named], guard)
    other = {"name": DEPLOYMENT_HEADER, "present_match": True}
    missing = _error(404, "DeploymentNotFound", f"The endpoint {endpoint.name} has no deployment of that name.")
    routes.append({"match": _match(endpoint, [other]), **missing, **guard})
    shares = {name: percent for name, percent in sorted(endpoint.traffic.items()) if percent > 0}
    if shares:
        routes += _routes_to(endpoint, shares, [], guard)
    else:
        idle = f"No deployment of the endpoint {endpoint.name} gets traffic: set its traffic, or name one in the header"
        routes.append({"match": _match(endpoint), **_error(404, "NoTraffic", f"{idle} {DEPLOYMENT_HEADER}."), **guard})
    return routes


def _routes_to(
    endpoint: EndpointState, shares: dict[str, int], headers: list[dict[str, Any]], guard: dict[str, Any]
) -> list[dict[str, Any]]:
    deployments = {name: endpoint.deployments[name] for name in shares}
    if not any(deployment.ready for deployment in deployments.values()):
        names = ", ".join(deployments)
        refused = _error(503, "DeploymentNotReady", f"No instance of {names} is ready. Its log and its state say why.")
        return [{"match": _match(endpoint, headers), **refused, **guard}]
    routes = []
    if all(deployment.probe for deployment in deployments.values()):
        probe = {"path": f"{endpoint.prefix}/", "headers": [*headers, {"name": ":method", "string_match": {"exact": "GET"}}]}
        routes.append({"match": probe, "route": _forward(endpoint, shares, _probe_name), **guard})
    action = _forward(endpoint, shares, cluster_name)
    mirrors = [
        {
            "cluster": cluster_name(endpoint, name),
            "runtime_fraction": {"default_value": {"numerator": percent, "denominator": "HUNDRED"}},
        }
        for name, percent in sorted(endpoint.mirror.items())
        if percent > 0 and not headers and endpoint.deployments[name].ready
    ]
    if mirrors:
        action["request_mirror_policies"] = mirrors
    routes.append({"match": _match(endpoint, headers), "route": action, **guard})
    return routes


def _forward(endpoint: EndpointState, shares: dict[str, int], name_of: Any) -> dict[str, Any]:
    """A route action that splits by `shares` and takes the prefix off the path."""
    limits = [endpoint.deployments[name].timeout_s for name in shares]
    resend = all(endpoint.deployments[name].resend for name in shares)
    return {
        "weighted_clusters": {
            "clusters": [
                {
                    "name": name_of(endpoint, name),
                    "weight": percent,
                    "response_headers_to_add": [_set_header(DEPLOYMENT_HEADER, name)],
                }
                for name, percent in shares.items()
            ]
        },
        "regex_rewrite": {"pattern": {"regex": f"^{endpoint.prefix}/*"}, "substitution": "/"},
        # The limit of each deployment is in its cluster; this one comes after it, for the case that all else fails.
        "timeout": f"{max(limits) + 1:g}s",
        "retry_policy": {
            # What never reached a worker is sent until one is there. What did is not, unless told to (scoring may have effects),
            # and then not often: it may be the request itself that kills workers.
            "retry_on": "connect-failure,refused-stream,reset-before-request" + (",reset" if resend else ""),
            "num_retries": RESENDS if resend else RETRIES,
            "retry_back_off": {"base_interval": "0.025s", "max_interval": "1s"},
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {
                        "@type": f"{_TYPE}envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                    },
                }
            ],
            # A dead worker has the fewest requests, so it is picked first; picking again costs nothing.
            "host_selection_retry_max_attempts": 50,
        },
    }


def _match(endpoint: EndpointState, headers: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    match: dict[str, Any] = {"path_separated_prefix": endpoint.prefix}
    if headers:
        match["headers"] = headers
    return match


def _guard(endpoint: EndpointState) -> dict[str, Any]:
    """Which requests may pass: the filters' settings for the routes of an endpoint."""
    if endpoint.auth == "key":
        bearers = [f"{scheme} {key}" for key in endpoint.keys for scheme in ("Bearer", "bearer")]
        who = [{"header": {"name": "authorization", "string_match": {"exact": bearer}}} for bearer in bearers]
        token = {"disabled": True}
    elif endpoint.auth == "token":
        who = [{"and_ids": {"ids": [_claim(ENDPOINT_CLAIM, endpoint_token_claims(endpoint.workspace, endpoint.name)[ENDPOINT_CLAIM]), _reach(endpoint)]}}]
        token = {"requirement_name": "token"}
    else:
        who = [{"and_ids": {"ids": [_any_of("oid", endpoint.principals), _reach(endpoint)]}}] if endpoint.principals else []
        token = {"requirement_name": "aad"}
    policies = {"caller": {"permissions": [{"any": True}], "principals": [{"or_ids": {"ids": who}}]}} if who else {}
    return {
        RBAC: {"@type": _RBAC_ROUTE, "rbac": {"rules": {"action": "ALLOW", "policies": policies}}},
        JWT: {"@type": _JWT_ROUTE, **token},
    }


def _open() -> dict[str, Any]:
    # A per-route RBAC without rules turns the filter off for the route.
    return {RBAC: {"@type": _RBAC_ROUTE}, JWT: {"@type": _JWT_ROUTE, "disabled": True}}


def _reach(endpoint: EndpointState) -> dict[str, Any]:
    """How far a token goes: one without limits anywhere, one of a run to its own workspace while the run lasts."""
    free = {"and_ids": {"ids": [{"not_id": _has_claim(BOUND_CLAIM)}, {"not_id": _has_claim(RUN_CLAIM)}]}}
    if not (endpoint.home and endpoint.runs):
        return free
    return {"or_ids": {"ids": [free, {"and_ids": {"ids": [_claim(BOUND_CLAIM, endpoint.home), _any_of(RUN_CLAIM, endpoint.runs)]}}]}}


def _any_of(name: str, values: tuple[str, ...]) -> dict[str, Any]:
    return {"or_ids": {"ids": [_claim(name, value) for value in values]}}


def _claim(name: str, value: str) -> dict[str, Any]:
    return _metadata(name, {"string_match": {"exact": value}})


def _has_claim(name: str) -> dict[str, Any]:
    return _metadata(name, {"present_match": True})


def _metadata(name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"filter": JWT, "path": [{"key": "claims"}, {"key": name}], "value": value}}


def _error(status: int, code: str, text: str) -> dict[str, Any]:
    body = json.dumps({"error": {"code": code, "message": text}})
    return {
        "direct_response": {"status": status, "body": {"inline_string": body}},
        "response_headers_to_add": [
            _set_header("content-type", "application/json"),
            _set_header("x-ms-request-id", REQUEST_ID),
        ],
    }


def _set_header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


_NOT_OURS = {
    "name": "other", "domains": ["*"], "routes": [{
        "match": {"prefix": "/"}, **_error(421, "InvalidHostHeader", "The gateway does not answer under that host name (see the setting public_host)."),
        "typed_per_filter_config": _open(),
    }],
}

__all__ = ["LISTENER_STAT", "ROUTES", "Files", "Listen", "cluster_name", "envoy_config", "versioned"]
