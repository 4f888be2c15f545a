import datetime as dt
import ssl

import certifi
import pytest

from lazward.identity.ca import ensure_certificates
from lazward.identity.trust import VARIABLES, write_bundle

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def ca(tmp_path):
    (tmp_path / "keys").mkdir()
    return ensure_certificates(tmp_path / "keys", "localhost", NOW).ca


@pytest.fixture
def company(tmp_path):
    """A bundle such as a company gives its people."""
    (tmp_path / "company").mkdir()
    ensure_certificates(tmp_path / "company", "proxy.company", NOW)
    return tmp_path / "company" / "ca.pem"


def names(bundle):
    """Common names of the certificates that Python takes from the bundle."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(bundle)
    return {dict(part[0] for part in c["subject"]).get("commonName") for c in context.get_ca_certs()}


class TestWriteBundle:
    def test_certifi_and_ours(self, tmp_path, ca):
        assert [str(p) for p in write_bundle(tmp_path / "bundle.pem", ca, {})] == [certifi.where()]
        assert names(tmp_path / "bundle.pem") == names(certifi.where()) | names(ca)

    @pytest.mark.parametrize("variable", VARIABLES)
    def test_the_users_own_bundle_and_ours(self, tmp_path, ca, company, variable):
        write_bundle(tmp_path / "bundle.pem", ca, {variable: str(company)})
        assert names(tmp_path / "bundle.pem") == names(company) | names(ca)

    def test_a_folder_of_certificates(self, tmp_path, ca, company):
        write_bundle(tmp_path / "bundle.pem", ca, {"REQUESTS_CA_BUNDLE": str(company.parent)})
        assert names(tmp_path / "bundle.pem") >= names(company) | names(ca)
        assert "PRIVATE KEY" not in (tmp_path / "bundle.pem").read_text()

    def test_our_own_variables_do_not_lose_the_users_bundle(self, tmp_path, ca, company):
        bundle = tmp_path / "bundle.pem"
        write_bundle(bundle, ca, {"SSL_CERT_FILE": str(company)})
        first = bundle.read_bytes()
        write_bundle(bundle, ca, dict.fromkeys(VARIABLES, str(bundle)))
        write_bundle(bundle, ca, {})
        assert bundle.read_bytes() == first

    def test_the_bundle_of_another_install_gives_what_it_was_made_from(self, tmp_path, ca, company):
        write_bundle(tmp_path / "other.pem", ca, {"SSL_CERT_FILE": str(company)})
        (tmp_path / "second").mkdir()
        second = ensure_certificates(tmp_path / "second", "localhost", NOW).ca
        assert write_bundle(tmp_path / "bundle.pem", second, {"SSL_CERT_FILE": str(tmp_path / "other.pem")}) == [company]
        assert names(tmp_path / "bundle.pem") == names(company) | names(second)

    @pytest.mark.parametrize("value", ["/does/not/exist", "/dev/null", "", "a\nb"])
    def test_a_variable_that_names_no_certificates_is_left_out(self, tmp_path, ca, value):
        assert [str(p) for p in write_bundle(tmp_path / "bundle.pem", ca, {"SSL_CERT_FILE": value})] == [certifi.where()]

    def test_a_bundle_that_has_gone_gives_way_to_certifi(self, tmp_path, ca, company):
        write_bundle(tmp_path / "bundle.pem", ca, {"SSL_CERT_FILE": str(company)})
        company.unlink()
        write_bundle(tmp_path / "bundle.pem", ca, {})
        assert names(tmp_path / "bundle.pem") == names(certifi.where()) | names(ca)

    def test_is_written_only_when_it_changes(self, tmp_path, ca):
        write_bundle(tmp_path / "bundle.pem", ca, {})
        before = (tmp_path / "bundle.pem").stat()
        write_bundle(tmp_path / "bundle.pem", ca, {})
        assert (tmp_path / "bundle.pem").stat().st_ino == before.st_ino
