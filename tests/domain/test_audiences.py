import pytest

from lazward.domain.audiences import AML_RESOURCE, management_audiences, service_of, takes

BASES = frozenset({"https://localhost:8443", "https://127.0.0.1:8443"})


@pytest.mark.parametrize(("audience", "service"), [
    ("https://localhost:8443", "management"), ("https://127.0.0.1:8443/", "management"), ("https://management.core.windows.net/", "management"),
    ("https://ml.azure.com", "management"), (AML_RESOURCE, "management"), ("https://storage.azure.com/", "storage"), ("https://Storage.azure.com", "storage"),
    ("https://lz0123abc.blob.core.windows.net", "storage"), ("https://graph.microsoft.com", "graph"), ("https://vault.azure.net", "vault"),
    ("https://localhost:9999", ""), ("https://evil.example", ""), ("", ""), ("https://x.blob.core.windows.net.evil/", ""), ("urn:lazward:online-endpoint", ""),
])
def test_service_of(audience: str, service: str):
    assert service_of(audience, BASES) == service


@pytest.mark.parametrize(("surface", "audience", "yes"), [
    ("arm", "https://localhost:8443", True), ("mlflow", "https://localhost:8443", True), ("arm", "https://storage.azure.com", False), ("blob", "https://storage.azure.com", True),
    ("dfs", "https://storage.azure.com/", True), ("blob", "https://localhost:8443", False), ("blob", "https://management.azure.com", False), ("graph", "https://graph.microsoft.com", True),
    ("graph", "https://localhost:8443", True), ("arm", "https://graph.microsoft.com", False), ("arm", "https://vault.azure.net", False), ("blob", "", True),
])
def test_a_token_opens_the_service_it_was_made_for(surface: str, audience: str, yes: bool):
    assert takes(surface, audience) == yes


def test_management_audiences_are_all_of_management():
    assert {service_of(audience, BASES) for audience in management_audiences(BASES)} == {"management"}
