"""Encryption of tokens at rest with KMS.

Tokens are far below the 4,096 bytes that KMS encrypts directly. The context is bound into the
ciphertext: moved to a row with another context it does not decrypt.
"""

from __future__ import annotations

import base64

from ullgetthejob.platform import aws, settings


def encrypt(plaintext: str, context: dict[str, str]) -> str:
    """*plaintext* as base64 text that only KMS, given the same *context*, turns back."""
    request = {
        "KeyId": settings.text("TOKEN_KEY_ID"),
        "Plaintext": base64.b64encode(plaintext.encode()).decode(),
        "EncryptionContext": context,
    }
    return str(aws.call("kms", "Encrypt", request)["CiphertextBlob"])


def decrypt(ciphertext: str, context: dict[str, str]) -> str:
    """The text that :func:`encrypt` was given; :class:`AwsError` for another context."""
    request = {
        "KeyId": settings.text("TOKEN_KEY_ID"),
        "CiphertextBlob": ciphertext,
        "EncryptionContext": context,
    }
    return base64.b64decode(aws.call("kms", "Decrypt", request)["Plaintext"]).decode()
