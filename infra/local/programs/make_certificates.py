"""Makes an authority and one certificate of it for every local server. usage: make_certificates.py FOLDER

The authority's key is not kept: nothing else can ever be signed by it.
"""

import ipaddress
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BEGINS = datetime.now(UTC) - timedelta(days=1)
ENDS = BEGINS + timedelta(days=3650)


def begin(name: str, issuer: str, key) -> x509.CertificateBuilder:
    """A certificate with what every certificate has."""
    builder = x509.CertificateBuilder(
        subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=BEGINS,
        not_valid_after=ENDS,
    )
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def usage(*allowed: str) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign "
        "crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: name in allowed for name in names.split()})


def main(folder: Path) -> None:
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = "Admit's local authority"
    authority = begin(authority_name, authority_name, authority_key)
    authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    authority = authority.add_extension(usage("key_cert_sign", "crl_sign"), critical=True)

    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    server = begin("localhost", authority_name, key)
    server = server.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    server = server.add_extension(usage("digital_signature"), critical=True)
    server = server.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    server = server.add_extension(x509.SubjectAlternativeName(names), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    server = server.add_extension(identifier, critical=False)

    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    os.umask(0o077)
    (folder / "server.key").write_bytes(private)
    for name, certificate in (("authority", authority), ("server", server)):
        path = folder / f"{name}.pem"
        path.write_bytes(certificate.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM))
        path.chmod(0o644)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
