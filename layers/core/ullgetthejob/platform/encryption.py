"""Encryption of tokens at rest with KMS.

Tokens are far below the 4,096 bytes that KMS encrypts directly. The context is bound into the
ciphertext: moved to a row with another context it does not decrypt.

KMS's own rotation keeps old ciphertexts readable. When the key is replaced by another one,
``TOKEN_KEY_ID_PREVIOUS`` names the key before it: its ciphertexts are still decrypted, and the
reader should encrypt them again (:attr:`Decrypted.by_previous_key`).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from ullgetthejob.platform import aws, settings
from ullgetthejob.platform.errors import Unavailable


class Undecryptable(Exception):
    """The ciphertext belongs to another key or context, or is damaged."""


@dataclass(frozen=True)
class Decrypted:
    """A decrypted text, and whether the previous key decrypted it."""

    text: str = field(repr=False)
    by_previous_key: bool


def encrypt(plaintext: str, context: dict[str, str]) -> str:
    """Return *plaintext* encrypted, as base64 text that KMS decrypts only with the same *context*.

    Raises :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    request = {
        "KeyId": settings.TOKEN_KEY_ID(),
        "Plaintext": base64.b64encode(plaintext.encode()).decode(),
        "EncryptionContext": context,
    }
    try:
        return str(aws.call("kms", "Encrypt", request)["CiphertextBlob"])
    except aws.AwsError as error:
        raise _unavailable() from error


def decrypt(ciphertext: str, context: dict[str, str]) -> str:
    """Return the text that :func:`encrypt` was given.

    Raises :class:`Undecryptable`, :class:`~ullgetthejob.platform.errors.Unavailable`.
    """
    return decrypt_with_key_info(ciphertext, context).text


def decrypt_with_key_info(ciphertext: str, context: dict[str, str]) -> Decrypted:
    """Return the text as :func:`decrypt` does, and whether the previous key decrypted it."""
    text = _decrypt(settings.TOKEN_KEY_ID(), ciphertext, context)
    if text is not None:
        return Decrypted(text, by_previous_key=False)
    previous = settings.TOKEN_KEY_ID_PREVIOUS()
    text = _decrypt(previous, ciphertext, context) if previous else None
    if text is None:
        raise Undecryptable
    return Decrypted(text, by_previous_key=True)


def _decrypt(key_id: str, ciphertext: str, context: dict[str, str]) -> str | None:
    """Return the text; ``None`` when the ciphertext belongs to another key."""
    request = {"KeyId": key_id, "CiphertextBlob": ciphertext, "EncryptionContext": context}
    try:
        return base64.b64decode(aws.call("kms", "Decrypt", request)["Plaintext"]).decode()
    except aws.AwsError as error:
        if error.code == "IncorrectKeyException":
            return None
        if error.code == "InvalidCiphertextException":
            raise Undecryptable from error
        # A key that is missing or denied may become available again: no token is deleted for that.
        raise _unavailable() from error


def _unavailable() -> Unavailable:
    return Unavailable("encryption is not available at the moment", code="encryption_unavailable")
