"""Encryption of tokens at rest with KMS.

Tokens are far below the 4,096 bytes that KMS encrypts directly. The context is bound into the
ciphertext: moved to a row with another context it does not decrypt.
"""

from __future__ import annotations

import base64
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ullgetthejob.platform import aws, settings
from ullgetthejob.platform.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


class Undecryptable(Exception):
    """The ciphertext is of another key or context, or damaged."""


def encrypt(plaintext: str, context: dict[str, str]) -> str:
    """*plaintext* as base64 text that only KMS, given the same *context*, turns back.

    Raises :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    request = {
        "KeyId": settings.text("TOKEN_KEY_ID"),
        "Plaintext": base64.b64encode(plaintext.encode()).decode(),
        "EncryptionContext": context,
    }
    with _in_our_words():
        return str(aws.call("kms", "Encrypt", request)["CiphertextBlob"])


def decrypt(ciphertext: str, context: dict[str, str]) -> str:
    """The text that :func:`encrypt` was given.

    Raises :class:`Undecryptable`, :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    request = {
        "KeyId": settings.text("TOKEN_KEY_ID"),
        "CiphertextBlob": ciphertext,
        "EncryptionContext": context,
    }
    with _in_our_words():
        return base64.b64decode(aws.call("kms", "Decrypt", request)["Plaintext"]).decode()


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except aws.AwsError as error:
        if error.code in ("InvalidCiphertextException", "IncorrectKeyException"):
            raise Undecryptable from error
        raise Unavailable(
            "encryption is not available at the moment", code="encryption_unavailable"
        ) from error
