"""azure-identity and msal over TLS, unmodified: every way to sign in that the documentation promises."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msal
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    ClientSecretCredential,
    DefaultAzureCredential,
    DeviceCodeCredential,
    EnvironmentCredential,
    InteractiveBrowserCredential,
    ManagedIdentityCredential,
)

from tests.apps.identity_app import AT_WS, TENANT
from tests.apps.token.test_oauth import claims_of
from tests.conformance.identity_server import Server, serve

PUBLIC_ARM = "https://management.azure.com/.default"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serve(tmp_path) as running:
        env = running.environment()
        for name in list(os.environ):
            if name not in env:
                monkeypatch.delenv(name, raising=False)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        yield running


def opens(server: Server, token: str) -> dict[str, Any]:
    """The token is taken by ARM; returns its claims."""
    answer = requests.get(f"{server.url}/tenants?api-version=2022-12-01", headers={"Authorization": f"Bearer {token}"}, timeout=20)
    assert answer.status_code == 200, answer.text
    return claims_of(token)


@pytest.mark.parametrize("spelling", ["url", "by_address"])
@pytest.mark.parametrize("tenant", [TENANT, "adfs"])
def test_client_secret(server: Server, spelling: str, tenant: str):
    authority = getattr(server, spelling)
    credential = ClientSecretCredential(tenant, server.owner.app_id, server.secrets[server.owner.id], authority=authority, disable_instance_discovery=True)
    for audience in (server.url, "https://ml.azure.lazward.local", "https://ml.azure.com", "https://management.azure.com", "https://management.core.windows.net/"):
        claims = opens(server, credential.get_token(f"{audience}/.default").token)
        assert (claims["aud"], claims["oid"], claims["tid"]) == (audience, server.owner.id, TENANT)
    assert claims_of(credential.get_token("https://storage.azure.com/.default").token)["aud"] == "https://storage.azure.com"


def test_client_secret_that_is_wrong(server: Server):
    credential = ClientSecretCredential(TENANT, server.owner.app_id, "wrong", authority=server.url, disable_instance_discovery=True)
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        credential.get_token(PUBLIC_ARM)


@pytest.mark.parametrize("spelling", ["url", "by_address"])
def test_environment_credential_by_the_adfs_tenant(server: Server, spelling: str, monkeypatch: pytest.MonkeyPatch):
    """No setting turns instance discovery off there; the tenant's name does."""
    given = {
        "AZURE_TENANT_ID": "adfs", "AZURE_AUTHORITY_HOST": getattr(server, spelling), "AZURE_CLIENT_ID": server.owner.app_id or "",
        "AZURE_CLIENT_SECRET": server.secrets[server.owner.id],
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for credential in (EnvironmentCredential(), DefaultAzureCredential()):
        assert opens(server, credential.get_token(PUBLIC_ARM).token)["oid"] == server.owner.id


def test_bare_default_credential_as_lazward_env_sets_it(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", server.secrets[server.owner.id])
    token = DefaultAzureCredential().get_token(PUBLIC_ARM)
    assert opens(server, token.token)["exp"] == token.expires_on
    # The authority that azureml-mlflow passes does not change that.
    assert opens(server, DefaultAzureCredential(authority=f"127.0.0.1:{server.port}").get_token(PUBLIC_ARM).token)["oid"] == server.owner.id


@pytest.mark.parametrize("names", [("IDENTITY_ENDPOINT", "IDENTITY_HEADER"), ("MSI_ENDPOINT", "MSI_SECRET")])
def test_managed_identity_of_a_job(server: Server, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]):
    server.set_job("j1", "Running")
    _, secret = server.authority.for_job(server.owner.id, AT_WS, "j1")
    for name, value in zip(names, (f"{server.url}/msi/token", secret), strict=True):
        monkeypatch.setenv(name, value)
    claims = opens(server, ManagedIdentityCredential().get_token(PUBLIC_ARM).token)
    assert (claims["lz_run"], claims["lz_bound"]) == ("j1", AT_WS.lower())
    with pytest.raises(ClientAuthenticationError):
        ManagedIdentityCredential(client_id="11111111-1111-4111-8111-111111111111").get_token(PUBLIC_ARM)
    server.set_job("j1", "Completed")
    server.authority._runs.clear()  # what a second of waiting would do
    with pytest.raises(ClientAuthenticationError):
        ManagedIdentityCredential().get_token(PUBLIC_ARM)


class Person:
    """Who reads pages and fills in their forms, by what the pages themselves say."""

    def __init__(self, server: Server):
        self.server = server
        self.session = requests.Session()

    def submit(self, page: requests.Response, **typed: str) -> requests.Response:
        form = re.search(r'<form method="post" action="([^"]+)"', page.text)
        assert form, page.text
        fields = {unescape(n): unescape(v) for n, v in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text)}
        target = unescape(form.group(1))
        here = urlsplit(page.url)
        target = target if "://" in target else f"{here.scheme}://{here.netloc}{target}"
        origin = {"Origin": f"{here.scheme}://{here.netloc}"} if "://" not in form.group(1) else {}
        return self.session.post(target, data=fields | typed, headers=origin, timeout=20)

    @property
    def proof(self) -> dict[str, str]:
        return {"client_id": self.server.owner.app_id or "", "client_secret": self.server.secrets[self.server.owner.id]}

    def confirm_device(self, uri: str, code: str) -> None:
        shown = self.submit(self.session.get(uri, timeout=20), user_code=code, **self.proof)
        assert self.submit(shown, decision="yes").status_code == 200


@pytest.mark.parametrize("tenant", [TENANT, "adfs"])
def test_device_code_and_silent_renewal(server: Server, tenant: str):
    person, shown = Person(server), []

    def prompt(uri: str, code: str, _expires: object) -> None:
        shown.append(code)
        person.confirm_device(uri, code)

    credential = DeviceCodeCredential(tenant_id=tenant, authority=server.url, disable_instance_discovery=True, prompt_callback=prompt)
    claims = opens(server, credential.get_token(PUBLIC_ARM).token)
    assert claims["oid"] == server.owner.id and claims["appid"] == "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
    # For another service there is no token yet: the refresh token gets one, and nobody is asked.
    assert claims_of(credential.get_token("https://storage.azure.com/.default").token)["aud"] == "https://storage.azure.com"
    assert opens(server, credential.get_token("https://ml.azure.com/.default").token)["aud"] == "https://ml.azure.com"
    assert len(shown) == 1


def test_device_code_declined(server: Server):
    person = Person(server)

    def prompt(uri: str, code: str, _expires: object) -> None:
        asked = person.submit(person.session.get(uri, timeout=20), user_code=code, **person.proof)
        person.submit(asked, decision="no")

    credential = DeviceCodeCredential(tenant_id=TENANT, authority=server.url, disable_instance_discovery=True, prompt_callback=prompt)
    with pytest.raises(ClientAuthenticationError):
        credential.get_token(PUBLIC_ARM)


def test_interactive_browser(server: Server, monkeypatch: pytest.MonkeyPatch):
    from azure.identity._credentials import browser

    person = Person(server)

    def surf(url: str) -> bool:
        back = person.submit(person.session.get(url, timeout=20), **person.proof)
        assert back.status_code == 200, back.text
        # What the page does by itself; the program's own server answers when it is asked to, which is after this returns.
        threading.Thread(target=person.submit, args=(back,), daemon=True).start()
        return True

    monkeypatch.setattr(browser, "_open_browser", surf)
    credential = InteractiveBrowserCredential(tenant_id=TENANT, authority=server.url, disable_instance_discovery=True)
    assert opens(server, credential.get_token(PUBLIC_ARM).token)["oid"] == server.owner.id


def test_msal_with_the_issuer_checked(server: Server):
    """`oidc_authority` is how msal is told of an issuer that is not Microsoft's; then it checks the issuer's name."""
    for base in (server.url, server.by_address):
        app = msal.ConfidentialClientApplication(
            server.owner.app_id, client_credential=server.secrets[server.owner.id], oidc_authority=f"{base}/{TENANT}/v2.0",
        )
        result = app.acquire_token_for_client([PUBLIC_ARM])
        assert opens(server, result["access_token"])["iss"] == f"{base}/{TENANT}/v2.0", result


SDK = """
    import json
    from azure.ai.ml import MLClient
    from azure.ai.ml._azure_environments import _get_aml_resource_id_from_metadata, _get_base_url_from_metadata, _get_active_directory_url_from_metadata
    from azure.identity import DefaultAzureCredential
    client = MLClient(DefaultAzureCredential(), "s", "g", "w")
    aml = _get_aml_resource_id_from_metadata()
    token = DefaultAzureCredential().get_token(aml + "/.default").token
    print(json.dumps([aml, _get_base_url_from_metadata(), _get_active_directory_url_from_metadata(), token]))
"""
PLUGIN = """
    import json
    from azureml.mlflow._common._cloud.cloud import _get_cloud_or_default
    cloud = _get_cloud_or_default()
    print(json.dumps([cloud.name, cloud.endpoints.resource_manager, cloud.endpoints.active_directory, cloud.endpoints.active_directory_resource_id, cloud.suffixes.storage_endpoint]))
"""


def run(server: Server, script: str) -> Any:
    env = server.environment(IDENTITY_ENDPOINT=f"{server.url}/msi/token", IDENTITY_HEADER=server.secrets[server.owner.id])
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_the_sdk_finds_its_cloud(server: Server):
    aml, base, login, token = run(server, SDK)
    assert (aml, base.rstrip("/"), login) == ("https://ml.azure.lazward.local", server.url, server.by_address)
    assert opens(server, token)["aud"] == aml


def test_the_mlflow_plugin_finds_its_cloud(server: Server):
    name, manager, login, audience, storage = run(server, PLUGIN)
    assert (name, manager, login, storage) == ("Lazward", f"{server.url}/", server.by_address, "core.windows.net")
    assert audience == server.url
