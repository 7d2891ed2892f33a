"""``make rds-ca``: the authorities of RDS and Aurora, from Amazon's bundle.

The layer ships them as ``platform/rds-certificates.pem``, for ``DatabaseTlsRootCertificates: rds``.
Each region has authorities of its own, so regions that are newer than the file need it again:
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html

Amazon publishes no checksum of the bundle. What is known already must be in it unchanged, except
what has expired: a bundle that lacks an authority is refused, and the file stays as it is.
"""

from __future__ import annotations

import re
import sys
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization

from ullgetthejob.platform.database_address import RDS_CERTIFICATES as FILE

if TYPE_CHECKING:
    from collections.abc import Iterable

BUNDLE = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
TIMEOUT_S = 30
PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n?", re.DOTALL)
# Without the regions in which Amazon tests ("Amazon RDS Beta us-east-1 Root CA ...").
NAME = re.compile(r"Amazon RDS (?P<region>[a-z]+-[a-z-]+-\d) Root CA \S+ G\d")
HEAD = """\
# The root certificates of Amazon RDS and Aurora, by region: for DatabaseTlsRootCertificates: rds.
# "make rds-ca" writes this file from Amazon's bundle (local/rds_certificates.py).
"""


class BundleRefused(Exception):
    """The bundle cannot be used; the message says why."""


def find_roots(text: str, now: datetime) -> dict[str, x509.Certificate]:
    """Return the root certificates of RDS in the PEM *text* that are valid at *now*, by name.

    Raises :class:`BundleRefused` for one whose own signature is wrong, or whose name occurs twice.
    """
    roots: dict[str, x509.Certificate] = {}
    for pem in PEM.findall(text):
        certificate = x509.load_pem_x509_certificate(pem.encode())
        name = _name_of(certificate)
        if certificate.subject != certificate.issuer or not NAME.fullmatch(name):
            continue
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            continue
        try:
            certificate.verify_directly_issued_by(certificate)
        except (InvalidSignature, ValueError, TypeError):
            raise BundleRefused(f"the signature of {name} is wrong") from None
        if roots.setdefault(name, certificate) != certificate:
            raise BundleRefused(f"there are two certificates {name}")
    return roots


def _name_of(certificate: x509.Certificate) -> str:
    (attribute,) = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(attribute.value)


def find_changed(
    known: dict[str, x509.Certificate], roots: dict[str, x509.Certificate]
) -> list[str]:
    """Return the names of *known* that *roots* lack, or have with another certificate."""
    return sorted(name for name, certificate in known.items() if roots.get(name) != certificate)


def render(roots: dict[str, x509.Certificate]) -> str:
    """Return the text of the file, sorted by name."""
    return HEAD + "".join(_block(name, roots[name]) for name in sorted(roots))


def _block(name: str, certificate: x509.Certificate) -> str:
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return f"\n# {name}, until {certificate.not_valid_after_utc:%Y-%m-%d}, {fingerprint}\n{pem}"


def regions_of(names: Iterable[str]) -> set[str]:
    """Return the regions of the certificates with *names*."""
    return {found["region"] for found in map(NAME.fullmatch, names) if found}


def update(url: str = BUNDLE) -> str:
    """Write the file from the bundle at *url*; return what changed, as a sentence.

    Raises :class:`BundleRefused`, and ``OSError`` if it cannot be downloaded.
    """
    now = datetime.now(UTC)
    known = find_roots(FILE.read_text("ascii"), now)
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - our own address
        roots = find_roots(answer.read().decode("ascii", "replace"), now)
    if changed := find_changed(known, roots):
        raise BundleRefused(f"it lacks or changes {', '.join(changed)}")
    FILE.write_text(render(roots), "ascii")
    new = sorted(regions_of(roots) - regions_of(known))
    return f"{len(roots)} certificates; new regions: {', '.join(new) or 'none'}"


def main() -> None:
    """Update the file from Amazon's bundle."""
    try:
        print(f"{FILE.name}: {update()}.")
    except (OSError, BundleRefused) as error:
        sys.exit(f"{FILE.name} stays as it is; the bundle at {BUNDLE}: {error}")


if __name__ == "__main__":
    main()
