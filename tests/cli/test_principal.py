"""Identities from the command line, used by the unmodified azure-identity against a server that runs, and without one."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential

from bench.server import Server, until
from lazward.cli.main import run
from lazward.domain.rbac_roles import BUILT_IN

ARM = "https://management.azure.com/.default"
WITHIN_S = 10  # what the documentation says is a second; a loaded machine may take longer


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def lazward(server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command on the server's data dir: what it printed as JSON, or as text."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", server.env["SSL_CERT_FILE"])

    def call(*words: str, code: int = 0) -> Any:
        done = run([*words, "--data-dir", str(server.data_dir)])
        shown = capsys.readouterr()
        assert done == code, shown
        return json.loads(shown.out) if "--json" in words and not code else shown.out + shown.err

    return call


def signs_in(server: Server, made: dict[str, Any]) -> str:
    """A token, by the way of docs/guides/identity.md."""
    credential = ClientSecretCredential(made["tenant_id"], made["client_id"], made["secret"], authority=made["authority"], disable_instance_discovery=True)
    return credential.get_token(ARM).token


def status(server: Server, token: str, path: str) -> int:
    return requests.get(f"{server.base}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=20).status_code


class TestWithARunningServer:
    def test_a_reader_of_the_workspace_may_read_it_and_nothing_else(self, server: Server, lazward):
        made = lazward("principal", "create", "ci", "--role", "Reader", "--scope", server.workspace, "--json")
        token = signs_in(server, made)
        until(lambda: status(server, token, server.path()) == 200, WITHIN_S)
        assert requests.put(
            server.base + server.path("environments/mine/versions/1"), headers={"Authorization": f"Bearer {token}"}, json={"properties": {"image": "python"}}, timeout=20,
        ).status_code == 403
        listed = {row["name"]: row for row in lazward("principal", "list", "--json")}
        assert listed["ci"]["roles"] == [{"role": "Reader", "scope": server.workspace.lower()}]
        assert listed["ci"]["enabled"] and listed["ci"]["client_id"] == made["client_id"] and "secret" not in json.dumps(listed)

    def test_disabled_it_is_refused_and_enabled_it_is_what_it_was(self, server: Server, lazward):
        made = lazward("principal", "create", "seasonal", "--role", BUILT_IN[next(iter(BUILT_IN))].name, "--scope", "/", "--json")
        token = signs_in(server, made)
        until(lambda: status(server, token, server.path()) == 200, WITHIN_S)
        lazward("principal", "disable", "seasonal")
        until(lambda: status(server, token, server.path()) == 401, WITHIN_S)
        with pytest.raises(ClientAuthenticationError):
            signs_in(server, made)
        lazward("principal", "enable", made["client_id"])
        until(lambda: status(server, token, server.path()) == 200, WITHIN_S)
        assert status(server, signs_in(server, made), server.path()) == 200

    def test_a_new_secret_ends_the_old_one(self, server: Server, lazward):
        made = lazward("principal", "create", "turning", "--json")
        signs_in(server, made)
        fresh = lazward("principal", "secret", "Turning", "--json")
        assert fresh["client_id"] == made["client_id"] and fresh["secret"] != made["secret"]
        signs_in(server, fresh)
        with pytest.raises(ClientAuthenticationError):
            signs_in(server, made)

    def test_deleted_it_is_gone_with_its_roles(self, server: Server, lazward):
        made = lazward("principal", "create", "brief", "--role", "Reader", "--scope", "/", "--json")
        token = signs_in(server, made)
        until(lambda: status(server, token, server.path()) == 200, WITHIN_S)
        lazward("principal", "delete", made["object_id"])
        until(lambda: status(server, token, server.path()) == 401, WITHIN_S)
        assert "brief" not in lazward("principal", "list")
        given = server.client().get("/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01")["value"]
        assert made["object_id"] not in [one["properties"]["principalId"] for one in given]

    def test_the_first_principals_new_secret_reaches_its_file_and_lazward_env(self, server: Server, lazward):
        path = server.data_dir / "keys" / "principal.json"
        before = json.loads(path.read_text())
        lazward("principal", "secret", before["client_id"])
        after = json.loads(path.read_text())
        assert after == {**before, "secret": after["secret"]} and after["secret"] != before["secret"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        server.env = json.loads(server._lazward("env", "--json"))["set"]
        assert status(server, server.token("https://management.azure.com"), server.path()) == 200

    def test_a_new_signing_key_signs_and_the_old_tokens_stay_good_unless_revoked(self, server: Server, lazward):
        def kids() -> set[str]:
            return {key["kid"] for key in requests.get(f"{server.base}/common/discovery/v2.0/keys", timeout=20).json()["keys"]}

        before, token = kids(), server.token("https://management.azure.com")
        lazward("keys", "rotate")
        until(lambda: len(kids() - before) == 1, WITHIN_S)
        assert before < kids() and status(server, token, server.path()) == 200
        lazward("keys", "rotate", "--revoke")
        until(lambda: status(server, token, server.path()) == 401, WITHIN_S)
        assert len(kids()) == 1 and not kids() & before
        assert status(server, server.token("https://management.azure.com"), server.path()) == 200

    @pytest.mark.parametrize(("words", "code", "said"), [
        (["create", "x", "--role", "Reader"], 2, "--scope"),
        (["create", "x", "--scope", "/"], 2, "--role"),
        (["create", "x", "--role", "Readr", "--scope", "/"], 2, "AzureML Data Scientist"),
        (["create", "x", "--role", "Reader", "--scope", "workspace"], 2, "/subscriptions/"),
        (["create", "x", "--role", "Reader", "--scope", "/subscriptions/11111111-2222-4333-8444-555555555555"], 1, "not found"),
        (["create", " ", "--role", "Reader", "--scope", "/"], 1, "1 to 256"),
        (["create", "LOCAL-admin"], 1, "already"),
        (["disable", "nobody"], 1, "no principal 'nobody'"),
        (["disable", "local-admin"], 1, "nobody who owns everything"),
        (["delete", "local-admin"], 1, "lazward env"),
    ])
    def test_what_cannot_be_is_refused_and_nothing_is_made(self, lazward, words: list[str], code: int, said: str):
        before = [row["object_id"] for row in lazward("principal", "list", "--json")]
        if words[:2] == ["disable", "local-admin"]:
            for row in lazward("principal", "list", "--json"):
                if row["name"] != "local-admin" and {"role": "Owner", "scope": "/"} in row["roles"]:
                    lazward("principal", "delete", row["object_id"])
                    before.remove(row["object_id"])
        assert said in lazward("principal", *words, code=code)
        after = lazward("principal", "list", "--json")
        assert [row["object_id"] for row in after] == before and all(row["enabled"] for row in after if row["name"] == "local-admin")


class TestWithoutAServer:
    def test_what_is_made_while_it_is_down_holds_when_it_is_up(self, server: Server, lazward):
        server.down()
        made = lazward("principal", "create", "night", "--role", "Reader", "--scope", server.workspace, "--json")
        server.up()
        assert status(server, signs_in(server, made), server.path()) == 200

    @pytest.mark.parametrize("words", [["principal", "list"], ["keys", "rotate"], ["environments", "list"]])
    def test_a_folder_without_state(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]):
        assert run([*words, "--data-dir", str(tmp_path)]) == 1
        assert str(tmp_path) in capsys.readouterr().err
        assert not list(tmp_path.iterdir())
