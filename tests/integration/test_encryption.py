"""Ciphertexts: bound to their context and key; those of the previous key stay readable."""

import pytest

from ullgetthejob.platform import aws, encryption
from ullgetthejob.platform.errors import Unavailable

CONTEXT = {"account_id": "1"}


@pytest.fixture
def new_key(dynamodb_tables, local_aws):
    """Return a callable that creates another KMS key and returns its ARN."""
    kms = local_aws.client("kms")
    yield lambda: kms.create_key()["KeyMetadata"]["Arn"]
    kms.close()


def test_ciphertext_decrypts_only_in_its_context(dynamodb_tables):
    ciphertext = encryption.encrypt("USERTOKEN", CONTEXT)
    assert "USERTOKEN" not in ciphertext
    assert encryption.decrypt(ciphertext, CONTEXT) == "USERTOKEN"
    for another in ({"account_id": "2"}, {"login": "1"}, {}):
        with pytest.raises(encryption.Undecryptable):
            encryption.decrypt(ciphertext, another)


def test_damaged_ciphertext_does_not_decrypt(dynamodb_tables):
    ciphertext = encryption.encrypt("USERTOKEN", CONTEXT)
    middle = len(ciphertext) // 2
    damaged = ciphertext[:middle] + ("A" if ciphertext[middle] != "A" else "B")
    for text in (damaged + ciphertext[middle + 1 :], "", "bm8gY2lwaGVydGV4dA=="):
        with pytest.raises(encryption.Undecryptable):
            encryption.decrypt(text, CONTEXT)


def test_previous_key_still_decrypts(new_key, monkeypatch):
    old, new = new_key(), new_key()
    monkeypatch.setenv("TOKEN_KEY_ID", old)
    before = encryption.encrypt("USERTOKEN", CONTEXT)
    monkeypatch.setenv("TOKEN_KEY_ID", new)
    monkeypatch.setenv("TOKEN_KEY_ID_PREVIOUS", old)
    opened = encryption.decrypt_with_key_info(before, CONTEXT)
    assert (opened.text, opened.by_previous_key) == ("USERTOKEN", True)
    after = encryption.encrypt("USERTOKEN", CONTEXT)
    opened = encryption.decrypt_with_key_info(after, CONTEXT)
    assert (opened.text, opened.by_previous_key) == ("USERTOKEN", False)
    assert "USERTOKEN" not in repr(opened)
    with pytest.raises(encryption.Undecryptable):
        encryption.decrypt(before, {"account_id": "2"})


def test_ciphertext_of_another_key_does_not_decrypt(new_key, monkeypatch):
    monkeypatch.setenv("TOKEN_KEY_ID", new_key())
    foreign = encryption.encrypt("USERTOKEN", CONTEXT)
    monkeypatch.setenv("TOKEN_KEY_ID", new_key())
    with pytest.raises(encryption.Undecryptable):
        encryption.decrypt(foreign, CONTEXT)
    monkeypatch.setenv("TOKEN_KEY_ID_PREVIOUS", new_key())
    with pytest.raises(encryption.Undecryptable):
        encryption.decrypt(foreign, CONTEXT)


def test_missing_key_is_unavailable(new_key, monkeypatch):
    ciphertext = encryption.encrypt("USERTOKEN", CONTEXT)
    monkeypatch.setenv("TOKEN_KEY_ID", new_key()[:-4] + "0000")
    for act in (encryption.encrypt, encryption.decrypt):
        with pytest.raises(Unavailable) as raised:
            act(ciphertext, CONTEXT)
        assert raised.value.code == "encryption_unavailable"


def test_unreachable_kms_is_unavailable(dynamodb_tables, monkeypatch):
    ciphertext = encryption.encrypt("USERTOKEN", CONTEXT)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    aws.reset_connections()
    for act in (encryption.encrypt, encryption.decrypt):
        with pytest.raises(Unavailable):
            act(ciphertext, CONTEXT)
