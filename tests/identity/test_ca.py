import datetime as dt
import socket
import ssl
import stat

import httpx2
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lazward.identity import ca as ca_module
from lazward.identity.ca import CaError, ensure_certificates
from tests.identity.tls import serve

NOW = dt.datetime.now(dt.UTC)


def strict(ca):
    context = ssl.create_default_context(cafile=str(ca))
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default since Python 3.13
    return context


def handshake(port, name, context):
    with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain, server_hostname=name) as tls:
        return tls.getpeercert()


def load(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return ensure_certificates(tmp_path_factory.mktemp("keys"), "aml.lan", NOW)


@pytest.fixture(scope="module")
def port(made):
    with serve(made.certificate, made.key) as port:
        yield port


class TestHandshakes:
    @pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "aml.lan", "acct.blob.core.aml.lan", "acct.dfs.core.aml.lan"])
    def test_python_in_strict_mode(self, made, port, name):
        assert handshake(port, name, strict(made.ca))["subject"]

    @pytest.mark.parametrize("name", ["example.com", "sub.localhost", "127.0.0.2", "other.aml.lan"])
    def test_other_names_are_refused(self, made, port, name):
        with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch|doesn't match|not valid for"):
            handshake(port, name, strict(made.ca))

    def test_without_the_ca_it_is_refused(self, port):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(port, "localhost", ssl.create_default_context())

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
    def test_requests(self, made, port, host):
        assert requests.get(f"https://{host}:{port}/x", verify=str(made.ca), timeout=5).json() == {"path": "/x"}

    def test_httpx2_by_the_variable_of_lazward_env(self, made, port, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
        assert httpx2.get(f"https://localhost:{port}/x").json() == {"path": "/x"}


class TestNameConstraints:
    def test_the_ca_cannot_vouch_for_anybody_else(self, tmp_path):
        made = ensure_certificates(tmp_path, "localhost", NOW)
        ca_key = serialization.load_pem_private_key((tmp_path / "ca.key").read_bytes(), None)
        key = ec.generate_private_key(ec.SECP256R1())
        evil = ca_module._make_server(ca_key, load(made.ca), key, ("localhost", "login.microsoftonline.com"), NOW)
        (tmp_path / "evil.pem").write_bytes(evil.public_bytes(serialization.Encoding.PEM))
        (tmp_path / "evil.key").write_bytes(ca_module._pem(key))
        with serve(tmp_path / "evil.pem", tmp_path / "evil.key") as port:
            for name in ("login.microsoftonline.com", "localhost"):
                with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
                    handshake(port, name, strict(made.ca))

    def test_it_cannot_make_another_ca(self, tmp_path):
        basic = load(ensure_certificates(tmp_path, "localhost", NOW).ca).extensions.get_extension_for_class(x509.BasicConstraints)
        assert basic.critical and basic.value.ca and basic.value.path_length == 0

    def test_a_public_address(self, tmp_path):
        made = ensure_certificates(tmp_path, "10.1.2.3", NOW)
        with serve(made.certificate, made.key) as port:
            assert handshake(port, "10.1.2.3", strict(made.ca))
            with pytest.raises(ssl.SSLCertVerificationError):
                handshake(port, "10.1.2.4", strict(made.ca))


class TestEnsure:
    def content(self, folder):
        return {p.name: p.read_bytes() for p in folder.iterdir()}

    def test_s20_keys_are_private(self, tmp_path):
        ensure_certificates(tmp_path, "localhost", NOW)
        assert {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == dict.fromkeys(("ca.key", "ca.pem", "server.key", "server.pem"), 0o600)

    def test_a_second_start_changes_nothing(self, tmp_path):
        assert ensure_certificates(tmp_path, "localhost", NOW).changed
        before = self.content(tmp_path)
        assert not ensure_certificates(tmp_path, "localhost", NOW).changed
        assert self.content(tmp_path) == before

    def test_is_renewed_when_less_than_30_days_remain(self, tmp_path):
        made = ensure_certificates(tmp_path, "localhost", NOW)
        before = self.content(tmp_path)
        end = load(made.certificate).not_valid_after_utc
        assert not ensure_certificates(tmp_path, "localhost", end - dt.timedelta(days=31)).changed
        assert ensure_certificates(tmp_path, "localhost", end - dt.timedelta(days=29)).changed
        assert load(made.certificate).not_valid_after_utc > end
        assert self.content(tmp_path)["ca.pem"] == before["ca.pem"]

    def test_the_ca_is_renewed_with_the_same_key(self, tmp_path):
        made = ensure_certificates(tmp_path, "localhost", NOW)
        old = load(made.ca)
        assert ensure_certificates(tmp_path, "localhost", old.not_valid_after_utc - dt.timedelta(days=1)).changed
        new = load(made.ca)
        assert (new.public_key(), new.subject) == (old.public_key(), old.subject)
        assert load(made.certificate).not_valid_after_utc <= new.not_valid_after_utc

    def test_another_public_host_widens_the_ca_and_old_bundles_still_trust_localhost(self, tmp_path):
        made = ensure_certificates(tmp_path, "localhost", NOW)
        (tmp_path / "old.pem").write_bytes(made.ca.read_bytes())
        assert ensure_certificates(tmp_path, "aml.lan", NOW).changed
        with serve(made.certificate, made.key) as port:
            assert handshake(port, "aml.lan", strict(made.ca))
        assert ensure_certificates(tmp_path, "localhost", NOW).changed
        with serve(made.certificate, made.key) as port:
            assert handshake(port, "localhost", strict(tmp_path / "old.pem"))

    @pytest.mark.parametrize("lost", ["server.key", "server.pem"])
    def test_what_is_missing_or_damaged_of_the_server_is_made_again(self, tmp_path, lost):
        made = ensure_certificates(tmp_path, "localhost", NOW)
        (tmp_path / lost).unlink()
        assert ensure_certificates(tmp_path, "localhost", NOW).changed
        (tmp_path / lost).write_text("-----BEGIN nothing")
        assert ensure_certificates(tmp_path, "localhost", NOW).changed
        with serve(made.certificate, made.key) as port:
            assert handshake(port, "localhost", strict(made.ca))

    def test_a_key_of_another_certificate_is_noticed(self, tmp_path):
        ensure_certificates(tmp_path, "localhost", NOW)
        (tmp_path / "server.key").write_bytes(ca_module._pem(ec.generate_private_key(ec.SECP256R1())))
        assert ensure_certificates(tmp_path, "localhost", NOW).changed

    def test_a_ca_key_kept_elsewhere_is_no_fault_until_it_is_needed(self, tmp_path):
        ensure_certificates(tmp_path, "localhost", NOW)
        (tmp_path / "ca.key").unlink()
        assert not ensure_certificates(tmp_path, "localhost", NOW).changed
        with pytest.raises(CaError, match=r"ca\.key is missing"):
            ensure_certificates(tmp_path, "aml.lan", NOW)

    @pytest.mark.parametrize("content", [b"", b"nonsense", ca_module._pem(ec.generate_private_key(ec.SECP256R1()))])
    def test_a_wrong_ca_key_is_not_replaced(self, tmp_path, content):
        ensure_certificates(tmp_path, "localhost", NOW)
        (tmp_path / "ca.key").write_bytes(content)
        (tmp_path / "server.pem").unlink()
        with pytest.raises(CaError, match="backup"):
            ensure_certificates(tmp_path, "localhost", NOW)
        assert (tmp_path / "ca.key").read_bytes() == content

    def test_two_installs_have_different_names(self, tmp_path):
        subjects = set()
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            subjects.add(load(ensure_certificates(tmp_path / name, "localhost", NOW).ca).subject)
        assert len(subjects) == 2
