"""Online inference, decided purely: what the gateway serves (GatewayState) and what a deployment's environment needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

# Resolved together with the requirements of the user, hence loose: the model server runs with any of these.
SERVING_REQUIREMENTS = (
    "uvicorn>=0.20",
    "httptools>=0.5",
    "uvloop>=0.17; platform_system != 'Windows'",
    "werkzeug>=2.0",
)

DEFAULT_TIMEOUT_S = 5.0
MAX_TIMEOUT_S = 180.0
# The audience of tokens that are minted for one endpoint (auth mode "token"), see endpoint_token_claims.
ENDPOINT_TOKEN_AUDIENCE = "urn:lazward:online-endpoint"  # noqa: S105 - no secret
ENDPOINT_CLAIM = "endpoint"
BOUND_CLAIM, RUN_CLAIM = "lz_bound", "lz_run"  # limits of the tokens that jobs carry
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")

AuthMode = Literal["key", "token", "aad"]


class DeploymentState(msgspec.Struct, frozen=True):
    """One deployment as the gateway sees it. `sockets`: unix sockets of its workers, all instances; none means not ready.

    `probe`: socket of the master, which answers GET / even while all workers are busy. `max_parallel`: requests at a time,
    the next one gets 429 (see parallel_limit). `resend`: a request whose worker died while it had it goes to another one; only
    for models that may score a request twice. What never reached a worker is always sent again."""

    sockets: tuple[str, ...] = ()
    probe: str | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    max_parallel: int = 2
    resend: bool = False

    @property
    def ready(self) -> bool:
        return bool(self.sockets)


class EndpointState(msgspec.Struct, frozen=True):
    """One endpoint. `traffic` and `mirror` map deployments to percent; traffic sums up to 0 or 100.

    auth "key": a bearer that is one of `keys`. "token": a token minted for this endpoint. "aad": a token of one of
    `principals` (object ids of those who may score), for the audience in TokenTrust. A token that was made for a run counts only when
    it is bound to `home` (key of the endpoint's workspace) and the run is one of `runs`, those that are not over."""

    workspace: str  # as in the URL
    name: str
    auth: AuthMode = "key"
    keys: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    home: str = ""
    runs: tuple[str, ...] = ()
    traffic: Mapping[str, int] = {}
    mirror: Mapping[str, int] = {}
    deployments: Mapping[str, DeploymentState] = {}

    @property
    def prefix(self) -> str:
        return route_prefix(self.workspace, self.name)


class TokenTrust(msgspec.Struct, frozen=True):
    """Whose tokens count. `jwks` is the JSON text of the public keys."""

    jwks: str
    endpoint_issuer: str
    aad_issuers: tuple[str, ...] = ()
    aad_audiences: tuple[str, ...] = ()


class GatewayState(msgspec.Struct, frozen=True):
    """Everything the gateway does. Raises ValueError by check()."""

    endpoints: tuple[EndpointState, ...] = ()
    tokens: TokenTrust | None = None

    def check(self) -> None:
        """Raises ValueError that names the endpoint and the field."""
        if self.tokens is not None:
            check_trust(self.tokens)
        seen = set()
        for endpoint in self.endpoints:
            check_endpoint(endpoint)
            if endpoint.prefix in seen:
                raise ValueError(f"endpoint {endpoint.prefix}: given twice")
            seen.add(endpoint.prefix)
            if endpoint.auth != "key" and self.tokens is None:
                raise ValueError(f"endpoint {endpoint.prefix}: auth is {endpoint.auth}, but the gateway trusts no tokens")
            if endpoint.auth == "aad" and self.tokens is not None and not self.tokens.aad_issuers:
                raise ValueError(f"endpoint {endpoint.prefix}: auth is aad, but tokens.aad_issuers is empty")


def check_trust(tokens: TokenTrust) -> None:
    """Raises ValueError. Envoy takes an empty issuer or audience for "any", which must never be meant."""
    if not tokens.endpoint_issuer or not all(tokens.aad_issuers):
        raise ValueError("tokens: an issuer must not be empty")
    if tokens.aad_issuers and not (tokens.aad_audiences and all(tokens.aad_audiences)):
        raise ValueError("tokens: aad_audiences must name at least one audience")


def check_endpoint(endpoint: EndpointState) -> None:
    """Raises ValueError that names the endpoint and the field."""
    where = f"endpoint {endpoint.workspace}/{endpoint.name}"
    for field, name in (("workspace", endpoint.workspace), ("name", endpoint.name)):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{where}: {field} {name!r} must be letters, digits, - and _")
    for name, deployment in endpoint.deployments.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{where}: the deployment name {name!r} must be letters, digits, - and _")
        if not 0 < deployment.timeout_s <= MAX_TIMEOUT_S:
            raise ValueError(f"{where}: timeout_s of {name} must be over 0 and at most {MAX_TIMEOUT_S:g} seconds")
        if deployment.max_parallel < 1:
            raise ValueError(f"{where}: max_parallel of {name} must be at least 1")
    for field, shares in (("traffic", endpoint.traffic), ("mirror", endpoint.mirror)):
        for name, percent in shares.items():
            if name not in endpoint.deployments:
                raise ValueError(f"{where}: {field} names the deployment {name!r}, which does not exist")
            if not 0 <= percent <= 100:
                raise ValueError(f"{where}: {field} of {name} must be 0 to 100 percent, not {percent}")
    if sum(endpoint.traffic.values()) not in (0, 100):
        raise ValueError(f"{where}: traffic must sum up to 0 or 100 percent, not {sum(endpoint.traffic.values())}")
    for key in endpoint.keys:
        if len(key) < 16 or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError(f"{where}: a key must be at least 16 printable characters without spaces")


def route_prefix(workspace: str, endpoint: str) -> str:
    """The path below which an endpoint is served: its scoring URI is https://HOST:PORT<prefix>/score."""
    return f"/{workspace}/{endpoint}"


def endpoint_token_claims(workspace: str, endpoint: str) -> dict[str, str]:
    """The claims, besides issuer and times, that a token for one endpoint (auth mode "token") must carry."""
    return {"aud": ENDPOINT_TOKEN_AUDIENCE, ENDPOINT_CLAIM: f"{workspace}/{endpoint}"}


def parallel_limit(max_concurrent_per_instance: int, instances: int) -> int:
    """How many requests a deployment takes at a time: twice what its instances score, so half of them may wait."""
    return 2 * max(1, max_concurrent_per_instance) * max(1, instances)
