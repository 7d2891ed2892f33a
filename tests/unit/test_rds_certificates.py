"""The authorities of RDS that the layer ships, and how "make rds-ca" brings new ones."""

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from local import rds_certificates

NOW = datetime.datetime.now(datetime.UTC)
# Of us-west-2, as "aws rds describe-certificates" shows them in the AWS CLI's reference.
DOCUMENTED_SHA1 = {
    "Amazon RDS us-west-2 Root CA ECC384 G1": "2ee3dcc06e50192559b13929e73484354f23387d",
    "Amazon RDS us-west-2 Root CA RSA4096 G1": "19da4f2af579a8ae1f6a0fa77aa5befd874b4cab",
    "Amazon RDS us-west-2 Root CA RSA2048 G1": "7c40cb42714b6fdb2b296f9bbd0e8bb364436a76",
}


@pytest.fixture(scope="module")
def roots():
    return rds_certificates.find_roots(rds_certificates.FILE.read_text(), NOW)


def test_shipped_certificates_are_valid_roots_of_every_region(roots):
    assert rds_certificates.FILE.read_text() == rds_certificates.render(roots)
    for region in ("eu-central-1", "eu-north-1", "eu-west-1", "us-east-1"):
        named = {name for name in roots if f" {region} " in name}
        assert len(named) == 3  # one for each kind of key


def test_shipped_certificates_have_the_documented_thumbprints(roots):
    found = {name: roots[name].fingerprint(hashes.SHA1()).hex() for name in DOCUMENTED_SHA1}  # noqa: S303 - as documented
    assert found == DOCUMENTED_SHA1


def test_shipped_certificates_can_be_loaded(roots):
    context = ssl.create_default_context(cafile=str(rds_certificates.FILE))
    assert context.cert_store_stats()["x509_ca"] == len(roots)


@pytest.fixture
def bundle(tmp_path, monkeypatch, roots):
    """Return a function that writes a bundle of some certificates; the file is a copy."""
    copy = tmp_path / "rds-certificates.pem"
    copy.write_text(rds_certificates.render(roots))
    monkeypatch.setattr(rds_certificates, "FILE", copy)

    def write(certificates):
        path = tmp_path / "global-bundle.pem"
        path.write_text(rds_certificates.render(certificates))
        return path.as_uri()

    return write


def test_bundle_with_new_regions_replaces_the_file(bundle, roots):
    known = {name: root for name, root in roots.items() if " eu-central-1 " not in name}
    rds_certificates.FILE.write_text(rds_certificates.render(known))
    assert rds_certificates.update(bundle(roots)) == "81 certificates; new regions: eu-central-1"
    assert rds_certificates.FILE.read_text() == rds_certificates.render(roots)


def test_bundle_that_lacks_a_known_certificate_is_refused(bundle, roots):
    lacking = dict(list(roots.items())[1:])
    before = rds_certificates.FILE.read_text()
    with pytest.raises(rds_certificates.BundleRefused, match="af-south-1"):
        rds_certificates.update(bundle(lacking))
    assert rds_certificates.FILE.read_text() == before


def test_bundle_with_a_forged_certificate_is_refused(bundle, roots):
    name = "Amazon RDS eu-central-1 Root CA ECC384 G1"
    forged = self_signed(roots[name].subject)
    with pytest.raises(rds_certificates.BundleRefused, match="eu-central-1"):
        rds_certificates.update(bundle({**roots, name: forged}))


def self_signed(subject):
    key = ec.generate_private_key(ec.SECP384R1())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .sign(key, hashes.SHA384())
    )
