from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.apps.token.errors import OAuthError
from lazward.apps.token.requests import audience_of, fields_of, public_client_of


@pytest.mark.parametrize(("form", "audience"), [
    ({"scope": "https://localhost:8443/.default"}, "https://localhost:8443"), ({"scope": "https://management.core.windows.net//.default"}, "https://management.core.windows.net/"),
    ({"scope": "openid profile offline_access https://management.azure.com/.default"}, "https://management.azure.com"),
    ({"scope": "https://management.azure.com/user_impersonation"}, "https://management.azure.com"), ({"scope": "User.Read"}, "https://graph.microsoft.com"),
    ({"resource": "https://management.azure.com/"}, "https://management.azure.com/"), ({"scope": "openid"}, "default"), ({}, "default"),
    ({"scope": "api://11111111-1111-4111-8111-111111111111/.default"}, "api://11111111-1111-4111-8111-111111111111"),
])
def test_audience_of(form: dict[str, str], audience: str):
    assert audience_of(form, "default") == audience


@pytest.mark.parametrize("form", [
    {"scope": "https://a/.default https://b/.default"}, {"resource": ""}, {"resource": 'x"y'}, {"resource": "x\r\ny"}, {"resource": "ü"}, {"resource": "a" * 600},
    {"resource": "urn:lazward:online-endpoint"}, {"scope": "URN:lazward:online-endpoint/.default"}, {"scope": "/.default"},
])
def test_audiences_that_are_not_issued(form: dict[str, str]):
    with pytest.raises(OAuthError) as caught:
        audience_of(form, "default")
    assert caught.value.code == "invalid_scope"


def test_a_client_that_asks_for_none():
    with pytest.raises(OAuthError) as caught:
        audience_of({"scope": "openid"}, None)
    assert (caught.value.code, caught.value.number) == ("invalid_request", 900144)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_an_audience_of_plain_characters_or_refused(scope: str, resource: str):
    for form in ({"scope": scope}, {"resource": resource}):
        try:
            audience = audience_of(form, "default")
        except OAuthError:
            continue
        assert audience.isascii() and audience.isprintable() and '"' not in audience


def test_a_parameter_twice_is_refused():
    with pytest.raises(OAuthError):
        fields_of([("a", "1"), ("a", "1")])


@pytest.mark.parametrize("client_id", ["", "a b", "<script>", "a" * 300, "ü"])
def test_ids_that_no_client_has(client_id: str):
    with pytest.raises(OAuthError):
        public_client_of({"client_id": client_id})
