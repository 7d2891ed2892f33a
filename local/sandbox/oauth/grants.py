"""The grants of people's tokens: for an authorization code, and for a refresh token.

Shapes and errors are those of §3.2 of hh.ru's OAuth: failures are ``{"error",
"error_description"}`` with the texts of its manual.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from local.sandbox.errors import TokenError
from local.sandbox.oauth import pkce
from local.sandbox.oauth.account_store import TOKEN_LIFE_S
from local.sandbox.oauth.redirects import admits
from local.sandbox.people import people

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.sandbox.oauth.account_store import Code, Pair
    from local.sandbox.state import Sandbox, Settings

# hh.ru: "short", without a number.
CODE_LIFE_S = 300
VERIFIER_TEXT = "1.40.0"  # of hh.ru's documents
ACCOUNT_REFUSALS = {
    "locked": "account is locked",
    "deleted": "account not found",
    "password_invalidated": "password invalidated",
    "login_not_verified": "login not verified",
}
ENDED = {
    "refreshed": "token has already been refreshed",
    "revoked": "token was revoked",
    "deactivated": "token deactivated",
}


def _invalid_request(description: str) -> TokenError:
    return TokenError(400, "invalid_request", description)


def _invalid_grant(description: str) -> TokenError:
    return TokenError(400, "invalid_grant", description)


def check_client(settings: Settings, form: Mapping[str, str]) -> str:
    """Return the application's id. Raises :class:`TokenError` for one that is not registered."""
    client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    known = hmac.compare_digest(client_id.encode(), settings.client_id.encode())
    if not known or not hmac.compare_digest(secret.encode(), settings.client_secret.encode()):
        raise TokenError(400, "invalid_client", "client_id or client_secret not found")
    return client_id


def _check_account(sandbox: Sandbox, person_id: str) -> None:
    state = sandbox.store.accounts.state(person_id)
    if person_id not in people.all_people():
        state = "deleted"
    if state != "active":
        raise _invalid_request(ACCOUNT_REFUSALS[state])


def _response(pair: Pair) -> dict[str, Any]:
    return {
        "access_token": pair.access,
        "token_type": "bearer",
        "expires_in": TOKEN_LIFE_S,
        "refresh_token": pair.refresh,
    }


def _redirect_fits(settings: Settings, code: Code, sent: str | None) -> bool:
    """Return whether *sent* equals the authorize call's address.

    If that call named none, no address and a registered one are accepted.
    """
    if code.redirect_uri is not None:
        return sent == code.redirect_uri
    return sent is None or admits(settings.redirect_uri, sent)


def _verifier_fits(code: Code, verifier: str | None) -> bool:
    """Return whether *verifier* matches the code's challenge; without one, it must be absent."""
    if code.challenge is None:
        return verifier is None
    return verifier is not None and hmac.compare_digest(
        pkce.challenge(verifier).encode(), code.challenge.encode()
    )


def exchange(sandbox: Sandbox, form: Mapping[str, str]) -> dict[str, Any]:
    """``grant_type=authorization_code``: once. A code stays valid if another field was wrong."""
    client_id = check_client(sandbox.settings, form)
    now = sandbox.now()
    code = sandbox.store.accounts.find_code(form.get("code", ""))
    if code is None or code.client_id != client_id:
        raise _invalid_request("code not found")
    if code.used_at is not None:
        raise _invalid_grant("code has already been used")
    if code.revoked_at is not None:
        raise _invalid_grant("code was revoke")  # so spelt in hh.ru's manual
    if now >= code.issued_at + CODE_LIFE_S:
        raise _invalid_grant("code expired")
    if not _redirect_fits(sandbox.settings, code, form.get("redirect_uri") or None):
        raise _invalid_request("bad redirect url")
    if not _verifier_fits(code, form.get("code_verifier") or None):
        # The text is hh.ru's since its documents name one; the code is RFC 7636's (§4.6).
        named = sandbox.era.follows(VERIFIER_TEXT)
        text = "code verifier mismatch" if named else "code_verifier does not match code_challenge"
        raise _invalid_grant(text)
    _check_account(sandbox, code.person_id)
    return _response(sandbox.store.accounts.exchange(code, now))


def refresh(sandbox: Sandbox, form: Mapping[str, str]) -> dict[str, Any]:
    """``grant_type=refresh_token``: once, and only after the access token has expired."""
    text = form.get("refresh_token", "").strip()
    store = sandbox.store
    if not text:
        raise _invalid_request("token is empty")
    pair = store.accounts.by_refresh(text)
    if pair is None:
        if store.accounts.by_access(text) or store.find_token(text):
            raise _invalid_grant("bad token")  # a token, but not one that refreshes
        raise _invalid_request("token not found")
    _check_account(sandbox, pair.person_id)
    if pair.ended is not None:
        raise _invalid_grant(ENDED[pair.ended])
    now = sandbox.now()
    if now < pair.expires_at:
        raise _invalid_grant("token not expired")
    return _response(store.accounts.refresh(pair, now))
