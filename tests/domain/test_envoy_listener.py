from __future__ import annotations

import json

from lazward.domain.envoy_listener import listener, tls_secret
from lazward.domain.serving import ENDPOINT_TOKEN_AUDIENCE, TokenTrust


def manager(tokens=None) -> dict:
    return listener("127.0.0.1", 1, "/rds", "/sds", tokens)["filter_chains"][0]["filters"][0]["typed_config"]


def settings(name: str, tokens=None) -> dict:
    return next(f["typed_config"] for f in manager(tokens)["http_filters"] if f["name"] == f"envoy.filters.http.{name}")


def test_nothing_passes_that_no_route_opens():
    assert settings("rbac")["rules"] == {"action": "ALLOW", "policies": {}}
    assert [f["name"].rpartition(".")[2] for f in manager()["http_filters"]] == ["jwt_authn", "rbac", "lua", "router"]


def test_tokens_are_checked_for_issuer_audience_and_end():
    trust = TokenTrust('{"keys": []}', "https://one/", ("https://two/", "https://three/"), ("aud",))
    jwt = settings("jwt_authn", trust)
    assert jwt["providers"]["token"]["audiences"] == [ENDPOINT_TOKEN_AUDIENCE]
    assert jwt["providers"]["aad1"]["issuer"] == "https://three/"
    assert all(p["audiences"] and p["require_expiration"] for p in jwt["providers"].values())
    assert len(jwt["requirement_map"]["aad"]["requires_any"]["requirements"]) == 2
    one = settings("jwt_authn", TokenTrust("{}", "https://one/", ("https://two/",), ("aud",)))
    assert one["requirement_map"]["aad"] == {"provider_name": "aad0"}
    assert "providers" not in settings("jwt_authn")


def test_errors_of_the_gateway_are_json():
    for mapper in manager()["local_reply_config"]["mappers"]:
        error = mapper["body_format_override"]["json_format"]["error"]
        assert error["code"]
        assert error["message"]
        assert mapper["status_code"] >= 400


def test_the_certificate_is_named_not_held():
    secret = tls_secret("/tls/cert.pem", "/tls/key.pem")
    assert secret["tls_certificate"]["watched_directory"] == {"path": "/tls"}
    assert "inline" not in json.dumps(secret)
