"""What `lazward env` prints is judged by real shells and by the real azure-identity."""

import datetime as dt
import json
import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.cli import datadir, env
from lazward.identity.ca import ensure_certificates
from lazward.identity.private_files import write_private
from tests.identity.tls import managed_identity, serve

SECRET = "s3cret'; touch /tmp/pwned; $(id) `id` \"\\ é"
PRINCIPAL = {
    "client_id": "c", "object_id": "o", "secret": SECRET, "tenant_id": "t", "subscription_id": "11111111-2222-3333-4444-555555555555",
    "resource_group": "local group", "workspace": "default",
}


@pytest.fixture
def state(install):
    """A data dir as a server leaves it behind; returns its layout."""
    from lazward.domain.layout import Layout

    layout = Layout(str(install.data_dir))
    datadir.prepare(layout)
    ensure_certificates(layout.keys, "localhost", dt.datetime.now(dt.UTC))
    datadir.write_json(layout.principal_file, PRINCIPAL)
    endpoint(layout, 8443)
    return layout


def endpoint(layout, port):
    datadir.write_endpoint(layout, datadir.Endpoint("127.0.0.1", port, 8444, "localhost", f"https://localhost:{port}/", "https://localhost:8444/"))


SHOW = f"{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
SHELLS = {"sh": ["sh", "-euc"], "bash": ["bash", "-euc"], "zsh": ["zsh", "-euc"], "dash": ["dash", "-euc"], "fish": ["fish", "-c"], "pwsh": ["pwsh", "-c"]}


def evaluated(shell, printed, environ):
    """The environment of a program started after `printed` has been evaluated in that shell."""
    if shutil.which(SHELLS[shell][0]) is None:
        pytest.skip(f"this machine has no {shell}")
    evaluate = 'eval "$PRINTED"' if shell != "fish" else "echo $PRINTED | source"
    done = subprocess.run([*SHELLS[shell], f"{evaluate}; {SHOW}"], env=environ | {"PRINTED": printed}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


class TestPrinted:
    @pytest.mark.parametrize("shell", list(SHELLS))
    def test_a_shell_gets_every_value_exactly(self, install, state, shell):
        as_json = json.loads(install("env", "--json").stdout)
        kind = {"fish": "fish", "pwsh": "powershell"}.get(shell, "sh")
        found = evaluated(shell, install("env", "--shell", kind).stdout, install.environ | {"AZURE_CLIENT_ID": "mine", "MSI_ENDPOINT": "x"})
        assert {name: found.get(name) for name in as_json["set"]} == as_json["set"]
        assert not set(as_json["unset"]) & set(found)

    def test_without_quotes_it_is_the_same(self, install, state):
        (install.data_dir / "keys" / "principal.json").write_text(json.dumps(PRINCIPAL | {"secret": "plain"}))
        printed = install("env").stdout
        done = subprocess.run(["sh", "-euc", f"eval $PRINTED; {SHOW}"], env=install.environ | {"PRINTED": printed}, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["MLFLOW_DISABLE_TELEMETRY"] == "true"

    def test_the_variables(self, install, state):
        values = json.loads(install("env", "--json").stdout)["set"]
        bundle = str(state.bundle)
        assert values == {
            "ARM_CLOUD_METADATA_URL": "https://localhost:8443/metadata/endpoints?api-version=2019-05-01", "AZUREML_CURRENT_CLOUD": "Lazward",
            "REGISTRY_DISCOVERY_ENDPOINT_URL": "https://localhost:8443/", "REQUESTS_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle,
            "CURL_CA_BUNDLE": bundle, "IDENTITY_ENDPOINT": "https://localhost:8443/msi/token", "IDENTITY_HEADER": SECRET,
            "AZURE_TOKEN_CREDENTIALS": "prod", "LAZWARD_DATA_DIR": str(state.root), "LAZWARD_SUBSCRIPTION_ID": PRINCIPAL["subscription_id"],
            "LAZWARD_RESOURCE_GROUP": "local group", "LAZWARD_WORKSPACE": "default", "MLFLOW_DISABLE_TELEMETRY": "true", "LAZWARD_SPOOL": "on",
        }

    def test_a_server_that_does_not_run_is_said_on_stderr(self, install, state):
        done = install("env")
        assert "not running" in done.stderr and "not running" not in done.stdout

    def test_without_state_it_fails_and_prints_nothing_to_evaluate(self, install):
        done = install("env", code=1)
        assert done.stdout == "" and "lazward up" in done.stderr

    @pytest.mark.parametrize("content", ["", "{}", '{"secret": "x"}', "[]"])
    def test_a_damaged_principal_is_no_state(self, install, state, content):
        (install.data_dir / "keys" / "principal.json").write_text(content)
        assert install("env", code=1).stdout == ""

    def test_a_proxy_is_not_asked_for_this_server(self, install, state):
        values = json.loads(install("env", "--json", environ={"https_proxy": "http://127.0.0.1:9", "NO_PROXY": "a.b, c.d"}).stdout)["set"]
        assert values["NO_PROXY"] == values["no_proxy"] == "a.b,c.d,localhost,127.0.0.1,::1"

    def test_the_users_own_bundle_is_kept_also_when_evaluated_twice(self, install, state, tmp_path):
        (tmp_path / "company").mkdir()
        company = ensure_certificates(tmp_path / "company", "proxy.company", dt.datetime.now(dt.UTC)).ca
        install("env", environ={"REQUESTS_CA_BUNDLE": str(company)})
        first = state.bundle.read_text()
        install("env", environ=json.loads(install("env", "--json").stdout)["set"])
        assert state.bundle.read_text() == first and company.read_text().strip() in first


class TestLines:
    @given(st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30))
    def test_sh_reads_back_any_value(self, value):
        import shlex

        (line,) = env.lines({"X": value}, (), "sh")[1:]
        # POSIX quoting, as the shell's own grammar has it; real shells are asked above.
        assert shlex.split(line.removesuffix(";"))[1] == "X=" + value


WHOAMI = """
import json, logging, os
from azure.identity import DefaultAzureCredential
credential = DefaultAzureCredential()
token = credential.get_token("https://management.azure.com/.default")
print(json.dumps({"token": token.token, "by": type(credential._successful_credential).__name__}))
"""


class TestRealAzureIdentity:
    def run(self, install, state, code, extra=None):
        seen = []
        with serve(state.server_certificate, state.server_key, managed_identity(SECRET, seen)) as port:
            endpoint(state, port)
            misled = install.environ | {"AZURE_CLIENT_ID": "elsewhere", "AZURE_TENANT_ID": "elsewhere", "AZURE_CLIENT_SECRET": "x", "IMDS_ENDPOINT": "http://x"}
            environ = evaluated("sh", install("env").stdout, misled) | (extra or {})
            done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60)
        return done, seen

    def test_a_bare_default_credential_gets_a_token_over_tls(self, install, state):
        done, seen = self.run(install, state, WHOAMI)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"token": "token of https://management.azure.com", "by": "ManagedIdentityCredential"}
        (query, headers), = seen
        assert query == {"api-version": ["2019-08-01"], "resource": ["https://management.azure.com"]}
        assert headers["X-IDENTITY-HEADER"] == SECRET

    def test_without_our_ca_the_secret_is_never_sent(self, install, state):
        import certifi

        done, seen = self.run(install, state, WHOAMI, {"REQUESTS_CA_BUNDLE": certifi.where()})
        assert done.returncode != 0 and "CERTIFICATE_VERIFY_FAILED" in done.stderr
        assert seen == []

    def test_logins_of_other_tools_are_not_tried(self, install, state):
        """A real Azure token (of `az login`, say) must not come here, not even when our own endpoint refuses."""
        (state.principal_file).write_text(json.dumps(PRINCIPAL | {"secret": "wrong"}))
        tools = install.data_dir.parent / "bin"
        tools.mkdir()
        write_private(tools / "az", f"#!/bin/sh\ntouch {tools}/asked\n".encode(), 0o700)
        done, _ = self.run(install, state, WHOAMI, {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"})
        assert done.returncode != 0 and "ManagedIdentityCredential" in done.stderr
        assert not (tools / "asked").exists() and "AzureCliCredential" not in done.stderr
