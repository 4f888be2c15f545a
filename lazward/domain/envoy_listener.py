"""The HTTPS listener of the gateway: what holds for every request, whatever endpoint it is for. Pure."""

from __future__ import annotations

from typing import Any

from lazward.domain.serving import ENDPOINT_TOKEN_AUDIENCE, TokenTrust

ROUTES = "endpoints"  # name of the route configuration
LISTENER_STAT = "ingress"
SECRET = "gateway"  # noqa: S105 - name of the certificate
MODEL_ERROR_HEADER = "ms-azureml-model-error-statuscode"
_TYPE = "type.googleapis.com/"
_FILTERS = f"{_TYPE}envoy.extensions.filters.http"
REQUEST_ID = "%REQ(x-ms-request-id?x-request-id):100%"

# Azure answers 424 for whatever error a model gives; the status of the model itself is in this header.
_MODEL_ERRORS = f"""
function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get("{MODEL_ERROR_HEADER}") ~= nil then headers:replace(":status", "424") end
end
"""


def listener(host: str, port: int, rds: str, sds: str, tokens: TokenTrust | None) -> dict[str, Any]:
    """The listener resource. `rds`, `sds`: paths of the files with routes and certificate."""
    tls = {
        "@type": f"{_TYPE}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificate_sds_secret_configs": [{"name": SECRET, "sds_config": _file(sds)}],
        },
    }
    return {
        "@type": f"{_TYPE}envoy.config.listener.v3.Listener",
        "name": "https",
        "address": {"socket_address": {"address": host, "port_value": port}},
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "filter_chains": [
            {
                "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
                "transport_socket_connect_timeout": "10s",
                "filters": [
                    {"name": "envoy.filters.network.http_connection_manager", "typed_config": _manager(rds, tokens)}
                ],
            }
        ],
    }


def tls_secret(certificate: str, private_key: str) -> dict[str, Any]:
    """The certificate, by the paths of its PEM files. Envoy reads them again when one in their folder is replaced."""
    return {
        "@type": f"{_TYPE}envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": SECRET,
        "tls_certificate": {
            "certificate_chain": {"filename": certificate},
            "private_key": {"filename": private_key},
            "watched_directory": {"path": certificate.rpartition("/")[0] or "/"},
        },
    }


def _manager(rds: str, tokens: TokenTrust | None) -> dict[str, Any]:
    return {
        "@type": f"{_TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": LISTENER_STAT,
        "codec_type": "AUTO",
        "rds": {"route_config_name": ROUTES, "config_source": _file(rds)},
        "http_filters": [
            {"name": "envoy.filters.http.jwt_authn", "typed_config": _jwt(tokens)},
            {
                "name": "envoy.filters.http.rbac",
                # No policy allows anything: only the rules of a route open it.
                "typed_config": {"@type": f"{_FILTERS}.rbac.v3.RBAC", "rules": {"action": "ALLOW", "policies": {}}},
            },
            {
                "name": "envoy.filters.http.lua",
                "typed_config": {
                    "@type": f"{_FILTERS}.lua.v3.Lua",
                    "default_source_code": {"inline_string": _MODEL_ERRORS},
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_FILTERS}.router.v3.Router", "suppress_envoy_headers": True},
            },
        ],
        # The gateway is the edge: no header of a caller is taken as one of a proxy before it.
        "use_remote_address": True,
        # No caller is internal, not even a local one: 192.0.2.1 is reserved for documentation. Without ranges Envoy would take
        # its default ones.
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "192.0.2.1", "prefix_len": 32}]},
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "server_header_transformation": "APPEND_IF_ABSENT",
        "server_name": "lazward",
        "request_headers_timeout": "10s",
        "request_timeout": "300s",
        "stream_idle_timeout": "300s",
        "common_http_protocol_options": {"headers_with_underscores_action": "ALLOW", "idle_timeout": "600s"},
        "local_reply_config": {"mappers": _local_replies()},
    }


def _jwt(tokens: TokenTrust | None) -> dict[str, Any]:
    """Checks of signature, issuer, audience and times. Which requirement holds is said by the route."""
    config: dict[str, Any] = {"@type": f"{_FILTERS}.jwt_authn.v3.JwtAuthentication"}
    if tokens is None:
        return config
    providers = {"token": _provider(tokens.endpoint_issuer, (ENDPOINT_TOKEN_AUDIENCE,), tokens.jwks)}
    for number, issuer in enumerate(tokens.aad_issuers):
        providers[f"aad{number}"] = _provider(issuer, tokens.aad_audiences, tokens.jwks)
    aad = [{"provider_name": name} for name in providers if name != "token"]
    requirements: dict[str, Any] = {"token": {"provider_name": "token"}}
    if len(aad) == 1:
        requirements["aad"] = aad[0]
    elif aad:
        requirements["aad"] = {"requires_any": {"requirements": aad}}
    return {**config, "providers": providers, "requirement_map": requirements}


def _provider(issuer: str, audiences: tuple[str, ...], jwks: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "audiences": list(audiences),
        "local_jwks": {"inline_string": jwks},
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "require_expiration": True,
        "payload_in_metadata": "claims",
    }


def _local_replies() -> list[dict[str, Any]]:
    """Errors that Envoy makes itself, as JSON. The first that fits counts."""
    return [
        _reply(_status(403), 401, "Unauthorized", "The key or token is missing or not valid for this endpoint."),
        _reply(_status(401), 401, "Unauthorized", "The token is not valid for this endpoint: %LOCAL_REPLY_BODY%"),
        _reply(
            _flags("UO"), 429, "TooManyRequests", "The deployment gets more requests than it may take at a time. Try later."
        ),
        _reply(
            _flags("UT", "UMSDR", "DT"), 408, "RequestTimeout", "The deployment did not answer within its request timeout."
        ),
        _reply(_flags("UH", "UF", "NC"), 503, "DeploymentNotReady", "No instance of the deployment can be reached."),
        _reply(_flags("UC", "UR", "UPE"), 503, "ModelProcessEnded", "The deployment's process ended before it answered."),
        _reply(_status(400), 400, "BadRequest", "The request is malformed: %RESPONSE_CODE_DETAILS%"),
        _reply(_status(413), 413, "PayloadTooLarge", "The request is too large."),
        _reply(_status(431), 431, "HeadersTooLarge", "The headers of the request are too large."),
        _reply(_status(500), 500, "GatewayError", "The gateway failed: %RESPONSE_CODE_DETAILS%"),
    ]


def _reply(filter_: dict[str, Any], status: int, code: str, text: str) -> dict[str, Any]:
    headers = [
        {"header": {"key": "x-ms-request-id", "value": REQUEST_ID}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    ]
    if status == 401:
        headers.append(
            {"header": {"key": "www-authenticate", "value": "Bearer"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        )
    return {
        "filter": filter_,
        "status_code": status,
        "body_format_override": {"json_format": {"error": {"code": code, "message": text}}},
        "headers_to_add": headers,
    }


def _status(value: int) -> dict[str, Any]:
    comparison = {"op": "EQ", "value": {"default_value": value, "runtime_key": "lazward.unused"}}
    return {"status_code_filter": {"comparison": comparison}}


def _flags(*flags: str) -> dict[str, Any]:
    return {"response_flag_filter": {"flags": list(flags)}}


def _file(path: str) -> dict[str, Any]:
    return {"path_config_source": {"path": path}, "resource_api_version": "V3"}
