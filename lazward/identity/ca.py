"""The certificate authority of one install, and the server certificate that it signs.

The CA can vouch for this install's names only (name constraints, critical), so that a client which trusts it, trusts it for nothing else.
EC P-256 throughout. Both certificates satisfy RFC 5280 as OpenSSL's strict mode checks it, which Python 3.13 switched on.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lazward.identity.private_files import write_private

LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Accounts of a team server are names below the public name, as clients build them (wire: https://{account}.blob.core.{domain}).
ACCOUNT_SERVICES = ("blob", "dfs", "file")

CA_YEARS = 10
SERVER_DAYS = 397  # the longest that browsers take
RENEW_BEFORE = dt.timedelta(days=30)
_CLOCK_SKEW = dt.timedelta(hours=1)


class CaError(Exception):
    """The certificates can be neither used nor made again; the message says what to do."""


@dataclass(frozen=True)
class Certificates:
    ca: Path
    certificate: Path
    key: Path
    changed: bool  # a new server certificate was made: servers must load it


def ensure_certificates(keys: Path, public_host: str, now: dt.datetime) -> Certificates:
    """Makes what is missing, unusable, for other names, or ends within 30 days; keeps the rest. `keys` holds ca.key, ca.pem, server.key
    and server.pem. `now` is aware. The caller holds the data dir's lock. Raises CaError."""
    names = tuple(dict.fromkeys((*LOOPBACK, public_host)))
    result = Certificates(keys / "ca.pem", keys / "server.pem", keys / "server.key", changed=False)
    ca = _read_certificate(result.ca)
    server = _read_certificate(result.certificate)
    if ca and server and _good_ca(ca, names, now) and _good_server(ca, server, result.key, names, now):
        return result
    ca_key = _ca_key(keys / "ca.key", ca)
    if ca is None or not _good_ca(ca, names, now):
        # The same key and name: servers and clients that still hold the old certificate go on with it as far as it reaches.
        ca = _make_ca(ca_key, names, now, ca.subject if ca else _ca_name())
        write_private(result.ca, ca.public_bytes(serialization.Encoding.PEM))
    key = ec.generate_private_key(ec.SECP256R1())
    server = _make_server(ca_key, ca, key, names, now)
    write_private(result.key, _pem(key))
    write_private(result.certificate, server.public_bytes(serialization.Encoding.PEM))
    return Certificates(result.ca, result.certificate, result.key, changed=True)


def _make_ca(key: ec.EllipticCurvePrivateKey, names: tuple[str, ...], now: dt.datetime, subject: x509.Name) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + dt.timedelta(days=365 * CA_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.NameConstraints([_subtree(n) for n in names], None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _make_server(
    ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, key: ec.EllipticCurvePrivateKey, names: tuple[str, ...], now: dt.datetime
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lazward server")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(min(now + dt.timedelta(days=SERVER_DAYS), ca.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternative_names(names)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _ca_name() -> x509.Name:
    # The serial part tells the CAs of several installs apart in one list of trusted certificates.
    return x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lazward"),
        x509.NameAttribute(NameOID.COMMON_NAME, f"Lazward install {x509.random_serial_number() & 0xFFFFFFFF:08x}"),
    ])


def _good_ca(ca: x509.Certificate, names: tuple[str, ...], now: dt.datetime) -> bool:
    if not ca.not_valid_before_utc <= now < ca.not_valid_after_utc - RENEW_BEFORE:
        return False
    try:
        allowed = ca.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    except x509.ExtensionNotFound:
        return False
    return set(allowed) == {_subtree(n) for n in names}


def _good_server(ca: x509.Certificate, server: x509.Certificate, key_file: Path, names: tuple[str, ...], now: dt.datetime) -> bool:
    if not server.not_valid_before_utc <= now < server.not_valid_after_utc - RENEW_BEFORE:
        return False
    try:
        server.verify_directly_issued_by(ca)
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        found = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, OSError, x509.ExtensionNotFound):
        return False
    return key.public_key() == server.public_key() and list(found) == _alternative_names(names)


def _ca_key(path: Path, ca: x509.Certificate | None) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        if ca is not None:
            raise CaError(
                f"{path} is missing, so no new certificate can be signed. Bring it back from a backup, or remove {path.parent / 'ca.pem'} "
                "to start with a new CA (clients then need `lazward env` again)."
            ) from None
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(path, _pem(key))
        return key
    except (ValueError, TypeError) as error:
        raise CaError(f"{path} holds no private key ({error}). Bring it back from a backup.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or (ca is not None and ca.public_key() != key.public_key()):
        raise CaError(f"{path} is not the key of {path.parent / 'ca.pem'}. Bring both back from one backup.")
    return key


def _read_certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _subtree(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_network(name))  # one address: /32 or /128
    except ValueError:
        return x509.DNSName(name)


def _alternative_names(names: tuple[str, ...]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
            if name not in LOOPBACK:
                found += [x509.DNSName(f"*.{service}.core.{name}") for service in ACCOUNT_SERVICES]
    return found


def _usage(**true: bool) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
             "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: true.get(name, False) for name in every})


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
