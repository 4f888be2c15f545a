"""`lazward env`: prints what points unmodified clients at this server.

Reads state files only (no settings, no network), because people put it into their shell's start-up.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any, Literal

from lazward.cli import datadir
from lazward.cli.output import OK, fail, progress, show, show_json
from lazward.domain.layout import Layout

CLOUD = "Lazward"
METADATA_API_VERSION = "2019-05-01"

# They tell azure-identity, msal and the storage clients which identity to use; each would win over, or change, ours.
MISLEADING = (
    "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "AZURE_USERNAME", "AZURE_PASSWORD", "AZURE_AUTHORITY_HOST", "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_REGIONAL_AUTHORITY_NAME", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET", "DEFAULT_IDENTITY_CLIENT_ID",
)
# What `lazward env` sets of an identity: taken out of the environment that the server itself runs in.
IDENTITY_VARIABLES = frozenset({
    "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "ARM_CLOUD_METADATA_URL", "AZUREML_CURRENT_CLOUD", "REGISTRY_DISCOVERY_ENDPOINT_URL",
    "AZURE_TOKEN_CREDENTIALS", "CURL_CA_BUNDLE",
})
# Of keys/principal.json, what is used here.
PRINCIPAL_FIELDS = ("secret", "subscription_id", "resource_group", "workspace")

_PROXY = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_DIRECT = ("localhost", "127.0.0.1", "::1")

Shell = Literal["sh", "fish", "powershell"]


def env(*, data_dir: str | None = None, shell: Shell = "sh", json: bool = False) -> int:
    """Print the variables that point Azure ML clients here: eval "$(lazward env)".

    Parameters
    ----------
    data_dir
        Folder of all local state, as given to `lazward up`.
    shell
        sh (bash, zsh, dash), fish or powershell.
    json
        Print {"set": {name: value}, "unset": [name]} instead.
    """
    layout = datadir.here(data_dir)
    endpoint = datadir.read_endpoint(layout)
    principal = datadir.read_json(layout.principal_file)
    if endpoint is None or not isinstance(principal, dict) or not principal.keys() >= set(PRINCIPAL_FIELDS):
        fail(f"There is no Lazward server in {layout.root}.", "Start one with `lazward up`, or name its folder with --data-dir.")
    _refresh_bundle(layout)
    values = variables(endpoint, principal, layout, os.environ)
    if json:
        show_json({"set": values, "unset": list(MISLEADING)})
    else:
        show("\n".join(lines(values, MISLEADING, shell)))
    if datadir.holder(layout) is None:
        progress("lazward: the server is not running; start it with `lazward up`.")
    return OK


def variables(endpoint: datadir.Endpoint, principal: Mapping[str, Any], layout: Layout, environ: Mapping[str, str]) -> dict[str, str]:
    """All variables to set. `principal` is the content of keys/principal.json."""
    base = endpoint.url.rstrip("/")
    bundle = str(layout.bundle)
    found = {
        # Which cloud. The metadata URL must begin with the cloud's resourceManager, port included: clients choose it by that.
        "ARM_CLOUD_METADATA_URL": f"{base}/metadata/endpoints?api-version={METADATA_API_VERSION}",
        "AZUREML_CURRENT_CLOUD": CLOUD,
        "REGISTRY_DISCOVERY_ENDPOINT_URL": f"{base}/",
        # Whom to trust: requests, OpenSSL (Python's ssl, httpx, uv), curl
        "REQUESTS_CA_BUNDLE": bundle,
        "SSL_CERT_FILE": bundle,
        "CURL_CA_BUNDLE": bundle,
        # Who one is: the App Service form of a managed identity. "prod" keeps DefaultAzureCredential away from the logins of az, VS Code
        # and others, so that a real Azure token is never sent here.
        "IDENTITY_ENDPOINT": f"{base}/msi/token",
        "IDENTITY_HEADER": principal["secret"],
        "AZURE_TOKEN_CREDENTIALS": "prod",
        # What to work in, and which server `lazward status`, `lazward down` and the others mean in this shell
        "LAZWARD_DATA_DIR": str(layout.root),
        "LAZWARD_SUBSCRIPTION_ID": principal["subscription_id"],
        "LAZWARD_RESOURCE_GROUP": principal["resource_group"],
        "LAZWARD_WORKSPACE": principal["workspace"],
        # What is logged while the server is away is kept and sent later, where this package is installed beside MLflow.
        "LAZWARD_SPOOL": "on",
        # Clients must not call home for a server that nobody outside knows.
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    found.update(no_proxy(environ, endpoint.public_host))
    return found


def no_proxy(environ: Mapping[str, str], public_host: str) -> dict[str, str]:
    """Variables that keep clients from asking a proxy for this server; none where no proxy is set."""
    if not any(environ.get(name) for name in _PROXY):
        return {}
    listed = [part.strip() for part in (environ.get("NO_PROXY") or environ.get("no_proxy") or "").split(",") if part.strip()]
    direct = ",".join(dict.fromkeys((*listed, *_DIRECT, public_host)))
    return {"NO_PROXY": direct, "no_proxy": direct}


def lines(values: Mapping[str, str], unset: tuple[str, ...], shell: Shell) -> list[str]:
    """One statement per line, safe whatever the values hold."""
    if shell == "fish":
        return [f"set -e {name};" for name in unset] + [f"set -gx {name} {_fish(value)};" for name, value in values.items()]
    if shell == "powershell":
        removed = [f"Remove-Item Env:{name} -ErrorAction SilentlyContinue;" for name in unset]
        return removed + [f"$env:{name} = {_powershell(value)};" for name, value in values.items()]
    # The semicolons are for `eval $(lazward env)` without quotes, which makes one line of it.
    return [f"unset {' '.join(unset)};"] + [f"export {name}={shlex.quote(value)};" for name, value in values.items()]


def _refresh_bundle(layout: Layout) -> None:
    from lazward.identity.trust import write_bundle

    try:
        write_bundle(layout.bundle, layout.ca_certificate, os.environ)
    except OSError as error:
        if not layout.bundle.exists():
            fail(f"The certificate bundle {layout.bundle} cannot be written: {error.strerror}.", "Run as the user who started the server.")


def _fish(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
