"""Encryption of tokens at rest with KMS.

Tokens are far below the 4,096 bytes that KMS encrypts directly. The context is bound into the
ciphertext: moved to a row with another context it does not decrypt.
"""

from __future__ import annotations

import base64

from ullgetthejob.platform import aws, settings


def encrypt(plaintext: str, context: dict[str, str]) -> str:
    """*plaintext* as base64 text that only KMS, given the same *context*, turns back."""
    answer = aws.client("kms").encrypt(
        KeyId=settings.text("TOKEN_KEY_ID"),
        Plaintext=plaintext.encode(),
        EncryptionContext=context,
    )
    return base64.b64encode(answer["CiphertextBlob"]).decode()


def decrypt(ciphertext: str, context: dict[str, str]) -> str:
    """The text that :func:`encrypt` was given; botocore's ``ClientError`` for another context."""
    answer = aws.client("kms").decrypt(
        KeyId=settings.text("TOKEN_KEY_ID"),
        CiphertextBlob=base64.b64decode(ciphertext),
        EncryptionContext=context,
    )
    return str(answer["Plaintext"], "utf-8")
